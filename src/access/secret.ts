import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** 62^43 > 2^256. */
const secretLength = 43
const idLength = 12
const keyForm = /^tm_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})$/

/** 256 random bits as 43 letters and digits: one word for a double click, and good in any header or URL. */
export function newSecret(): string {
  return inDigits(BigInt(`0x${randomBytes(32).toString('hex')}`), secretLength)
}

/** Names a key; it is no secret. 71 bits: two are never the same. */
export function newKeyId(): string {
  return inDigits(BigInt(`0x${randomBytes(16).toString('hex')}`) % 62n ** BigInt(idLength), idLength)
}

/** The text that whoever uses the key sends. */
export function keyText(id: string, secret: string): string {
  return `tm_${id}_${secret}`
}

/** Null: the text is no API key. */
export function parseKeyText(text: string): { readonly id: string; readonly secret: string } | null {
  const match = keyForm.exec(text)
  return match === null ? null : { id: match[1] as string, secret: match[2] as string }
}

export function isSecretForm(text: string): boolean {
  return text.length === secretLength && /^[0-9A-Za-z]+$/.test(text)
}

/** What is stored in place of a secret. A fast hash is right for 256 random bits: docs/decisions/0017-access.md. */
export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

/** Takes the same time wherever the two differ. */
export function isSameHash(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function inDigits(value: bigint, length: number): string {
  let text = ''
  for (let rest = value; rest > 0n; rest /= 62n) text = (digits[Number(rest % 62n)] as string) + text
  return text.padStart(length, '0')
}
