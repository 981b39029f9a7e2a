import { toWellFormed } from '../util/well-formed.ts'

/** What PostgreSQL can store of a text that may be what it refused: no NUL, no half pairs, not longer than `limit`. */
export function storedText(text: string, limit: number): string {
  const kept = text.length > limit ? `${text.slice(0, limit - 1)}…` : text
  return toWellFormed(kept.replaceAll('\0', '\u2400'))
}
