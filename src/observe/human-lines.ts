/** Shown first, without their names. */
const head = new Set(['time', 'level', 'msg', 'err', 'error'])
const marks: Readonly<Record<string, string>> = {
  fatal: '✗',
  error: '✗',
  warn: '!',
  info: '·',
  debug: ' ',
  trace: ' ',
}

/**
 * A line of JSON as people read it in a terminal.
 *
 * @example
 * humanLine('{"level":"info","time":"2026-01-01T10:00:00.000Z","route":"/api/v1/query","ms":12,"msg":"request"}\n')
 * // '10:00:00.000 · request route=/api/v1/query ms=12\n'
 */
export function humanLine(line: string): string {
  let entry: Record<string, unknown>
  try {
    entry = JSON.parse(line) as Record<string, unknown>
  } catch {
    return line
  }
  const { time, level, msg } = entry
  const error = (entry['err'] ?? entry['error'] ?? null) as
    | { readonly message?: string; readonly stack?: string }
    | string
    | null
  const rest = Object.entries(entry)
    .filter(([key, value]) => !head.has(key) && value !== null)
    .map(([key, value]) => `${key}=${shown(value)}`)
  const clock = typeof time === 'string' ? time.slice(11, 23) : ''
  const problem =
    error === null ? '' : typeof error === 'string' ? error : (error.stack ?? error.message ?? '')
  const first = [clock, marks[String(level)] ?? String(level), msg, ...rest].filter(
    (part) => part !== undefined && part !== '',
  )
  return `${first.join(' ')}${problem === '' ? '' : `\n  ${problem.replaceAll('\n', '\n  ')}`}\n`
}

function shown(value: unknown): string {
  if (typeof value === 'string') return /\s/.test(value) ? JSON.stringify(value) : value
  return JSON.stringify(value)
}
