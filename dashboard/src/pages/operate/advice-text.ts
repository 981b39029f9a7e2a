/** A piece of what is advised: words, or something to run. */
export interface AdvicePiece {
  readonly kind: 'words' | 'command'
  readonly text: string
}

/** Commands in quotes or backticks; statements of SQL at the beginning or after a colon, up to a semicolon or the end. */
const command =
  /"(tidemark [^"]+)"|`([^`]+)`|(?<=^|: )((?:select|alter (?:table|role)|create (?:database|role)|revoke|grant|drop policy)\s[^;…]+)/g

/**
 * @example adviceOf('run "tidemark migrate", then look again')
 * // [{ words: 'run ' }, { command: 'tidemark migrate' }, { words: ', then look again' }]
 */
export function adviceOf(text: string): AdvicePiece[] {
  const pieces: AdvicePiece[] = []
  let at = 0
  for (const match of text.matchAll(command)) {
    if (match.index > at) pieces.push({ kind: 'words', text: text.slice(at, match.index) })
    const found = match[1] ?? match[2] ?? match[3] ?? ''
    pieces.push({ kind: 'command', text: found.trim() })
    at = match.index + match[0].length
  }
  if (at < text.length) pieces.push({ kind: 'words', text: text.slice(at) })
  return pieces
}

const instant = /\b\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z/g

/** @example instantsIn('again at 2026-01-01T00:00:00Z') // 'again at ', and an instant */
export function instantsIn(text: string): { readonly isInstant: boolean; readonly text: string }[] {
  const pieces: { isInstant: boolean; text: string }[] = []
  let at = 0
  for (const match of text.matchAll(instant)) {
    if (match.index > at) pieces.push({ isInstant: false, text: text.slice(at, match.index) })
    pieces.push({ isInstant: true, text: match[0] })
    at = match.index + match[0].length
  }
  if (at < text.length) pieces.push({ isInstant: false, text: text.slice(at) })
  return pieces
}

/** Where a page shows more of what a finding is about. */
const pages: readonly (readonly [RegExp, string, string])[] = [
  [/dead letter/i, '/dead-letters', 'Open dead letters'],
  [/aggregate/i, '/aggregates', 'Open aggregates'],
  [/job|worker|alarm/i, '/jobs', 'Open jobs'],
  [/lake|disk|chunk|partition|freeze|storage/i, '/storage', 'Open storage'],
]

export function pageFor(subject: string): { readonly to: string; readonly label: string } | null {
  const found = pages.find(([words]) => words.test(subject))
  return found === undefined ? null : { to: found[1], label: found[2] }
}
