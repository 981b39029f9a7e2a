import { daysFromCivil, daysInMonth } from '../time/index.ts'

/** What a text says: microseconds on the wall clock, and the zone it names (seconds east of UTC). */
export interface Reading {
  local: bigint
  offset: number | null
  /** Digits after the sixth of a second's fraction: 0 none, 1 all zero, 2 cut off. */
  beyond: 0 | 1 | 2
}

export type Parse = (text: string, into: Reading) => boolean

/** `2026-01-31`, `2026-01-31 07:45`, `2026-01-31T07:45:00.123456789Z`, `… +01`, `… +0100`, `… UTC`. */
export function parseIso(text: string, into: Reading): boolean {
  const length = text.length
  if (length < 10 || text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return false
  const year = digits4(text, 0)
  const month = digits2(text, 5)
  const day = digits2(text, 8)
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return false
  const dayMs = daysFromCivil(year, month, day) * 86_400_000
  into.offset = null
  into.beyond = 0
  if (length === 10) {
    into.local = BigInt(dayMs) * 1000n
    return true
  }
  const gap = text.charCodeAt(10)
  if ((gap !== 84 && gap !== 32 && gap !== 116) || length < 16 || text.charCodeAt(13) !== 58) return false
  const hour = digits2(text, 11)
  const minute = digits2(text, 14)
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false
  let at = 16
  let second = 0
  let micros = 0
  if (at < length && text.charCodeAt(at) === 58) {
    second = digits2(text, at + 1)
    // 60 is a leap second and means, as in PostgreSQL, the next minute
    if (second < 0 || second > 60) return false
    at += 3
    if (at < length && (text.charCodeAt(at) === 46 || text.charCodeAt(at) === 44)) {
      at++
      let scale = 100_000
      const from = at
      for (; at < length; at++) {
        const digit = text.charCodeAt(at) - 48
        if (digit < 0 || digit > 9) break
        if (at - from < 6) {
          micros += digit * scale
          scale /= 10
        } else if (into.beyond !== 2) into.beyond = digit === 0 ? 1 : 2
      }
      if (at === from || at - from > 9) return false
    }
  }
  if (at < length && !readOffset(text, at, into)) return false
  const ms = dayMs + (hour * 3600 + minute * 60 + second) * 1000
  const exact = ms * 1000 + micros
  into.local = Number.isSafeInteger(exact) ? BigInt(exact) : BigInt(ms) * 1000n + BigInt(micros)
  return true
}

function digits2(text: string, at: number): number {
  const a = text.charCodeAt(at) - 48
  const b = text.charCodeAt(at + 1) - 48
  return a >= 0 && a <= 9 && b >= 0 && b <= 9 ? a * 10 + b : -1
}

function digits4(text: string, at: number): number {
  const a = digits2(text, at)
  const b = digits2(text, at + 2)
  return a >= 0 && b >= 0 ? a * 100 + b : -1
}

/** `Z`, `UTC`, `GMT`, `+01`, `+0100`, `+01:00`, with a space before it or not; it must end the text. */
export function readOffset(text: string, from: number, into: Reading): boolean {
  const at = text.charCodeAt(from) === 32 ? from + 1 : from
  const left = text.length - at
  const code = text.charCodeAt(at)
  if (code === 90 || code === 122) {
    into.offset = 0
    return left === 1
  }
  if (code === 43 || code === 45) {
    const hours = digits2(text, at + 1)
    const hasColon = text.charCodeAt(at + 3) === 58
    const minutes = left === 3 ? 0 : digits2(text, at + (hasColon ? 4 : 3))
    if (left !== 3 && left !== (hasColon ? 6 : 5)) return false
    if (hours < 0 || hours > 15 || minutes < 0 || minutes > 59) return false
    into.offset = (code === 45 ? -1 : 1) * (hours * 3600 + minutes * 60)
    return true
  }
  const name = text.slice(at).toUpperCase()
  into.offset = 0
  return name === 'UTC' || name === 'GMT'
}

const unixForm = /^([+-]?)(\d{1,19})(?:\.(\d{1,18}))?$/

/** `power`: how many decimal places the unit is above a microsecond. Digits below it are cut and counted. */
export function parseUnix(text: string, into: Reading, power: number): boolean {
  const match = unixForm.exec(text)
  if (!match) return false
  const fraction = match[3] ?? ''
  const all = match[2] + fraction
  // the microsecond's place, counted from the left of all digits
  const keep = match[2]!.length + power
  const kept = keep <= 0 ? '0' : all.length >= keep ? all.slice(0, keep) : all.padEnd(keep, '0')
  const cut = keep < all.length ? all.slice(Math.max(keep, 0)) : ''
  const micros = BigInt(kept)
  into.beyond = cut === '' ? 0 : /[1-9]/.test(cut) ? 2 : 1
  // towards minus infinity, so that an instant before 1970 does not move into the future
  into.local = match[1] === '-' ? -micros - (into.beyond === 2 ? 1n : 0n) : micros
  into.offset = 0
  return true
}
