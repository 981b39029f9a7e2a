import { endOfString, endOfValue } from './json-shred.ts'

/** What is at a path of a jsonb document, as PostgreSQL's `#>` finds it. */
export interface JsonPart {
  readonly kind: 'string' | 'number' | 'boolean' | 'null' | 'container'
  /** As PostgreSQL prints it. */
  readonly token: string
}

const quote = 34
const comma = 44
const openBracket = 91
const closeBracket = 93
const openBrace = 123
const closeBrace = 125

/**
 * Walks the text of a document instead of parsing it: most of it is passed over, and numbers keep all of their digits.
 *
 * @param text As PostgreSQL prints jsonb: one space behind each colon and comma.
 */
export function jsonPartAt(text: string, path: readonly string[]): JsonPart | null {
  let at = 0
  for (const key of path) {
    const first = text.charCodeAt(at)
    let found: number | null = null
    if (first === openBrace) found = memberAt(text, at, key)
    else if (first === openBracket) found = elementAt(text, at, key)
    if (found === null) return null
    at = found
  }
  const token = text.slice(at, endOfValue(text, at))
  switch (token.charCodeAt(0)) {
    case quote:
      return { kind: 'string', token }
    case openBrace:
    case openBracket:
      return { kind: 'container', token }
    case 116:
    case 102:
      return { kind: 'boolean', token }
    case 110:
      return { kind: 'null', token }
    default:
      return { kind: 'number', token }
  }
}

/** The text that `#>>` gives; null when absent or JSON null. */
export function jsonPartText(part: JsonPart | null): string | null {
  if (part === null || part.kind === 'null') return null
  return part.kind === 'string' ? (JSON.parse(part.token) as string) : part.token
}

function memberAt(text: string, start: number, key: string): number | null {
  const wanted = JSON.stringify(key)
  let at = start + 1
  while (text.charCodeAt(at) !== closeBrace) {
    if (text.charCodeAt(at) === comma) at += 2
    const keyEnd = endOfString(text, at)
    if (keyEnd - at === wanted.length && text.startsWith(wanted, at)) return keyEnd + 2
    at = endOfValue(text, keyEnd + 2)
  }
  return null
}

/** PostgreSQL reads the key with strtol: spaces and a sign before it are taken, a negative one counts from the end. */
function elementAt(text: string, start: number, key: string): number | null {
  if (!/^[ \t\n\v\f\r]*[+-]?\d+$/.test(key)) return null
  let wanted = Number(key)
  if (wanted < -2_147_483_648 || wanted > 2_147_483_647) return null
  if (wanted < 0) {
    wanted += countElements(text, start)
    if (wanted < 0) return null
  }
  let at = start + 1
  for (let i = 0; text.charCodeAt(at) !== closeBracket; i++) {
    if (text.charCodeAt(at) === comma) at += 2
    if (i === wanted) return at
    at = endOfValue(text, at)
  }
  return null
}

function countElements(text: string, start: number): number {
  let count = 0
  let at = start + 1
  while (text.charCodeAt(at) !== closeBracket) {
    if (text.charCodeAt(at) === comma) at += 2
    at = endOfValue(text, at)
    count++
  }
  return count
}
