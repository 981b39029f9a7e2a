import { TidemarkError } from '../util/errors.ts'

/** Raises TM_QUERY with the place in the query and what is wrong there. */
export function fail(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}

/** A value as it is shown in a message: short, and one line. */
export function show(value: unknown): string {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`
  if (typeof value === 'number' || value === undefined) return String(value)
  let text: string
  try {
    text = JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? inner.toString() : inner))
  } catch {
    text = 'an object that refers to itself'
  }
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

/** `path.key`, with quotes around keys that would make the path ambiguous. */
export function at(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`
  const part = /^[\p{L}\p{N}_$.\\-]+$/u.test(key) ? key : JSON.stringify(key)
  return path === '' ? part : `${path}.${part}`
}

/** `; did you mean "x"?` when one of the known names is near, else the names themselves when they are few. */
export function suggest(name: string, known: readonly string[]): string {
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  if (best !== null) return `; did you mean "${best}"?`
  if (known.length === 0 || known.length > 30) return ''
  return `; there are: ${known.join(', ')}`
}

/** Insertions, deletions, substitutions and swaps of neighbours. Names are short; both are cut at 64. */
function editDistance(left: string, right: string): number {
  const a = left.slice(0, 64)
  const b = right.slice(0, 64)
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const above = rows[i - 1] as number[]
      let best = Math.min(
        (above[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (above[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
      )
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, ((rows[i - 2] as number[])[j - 2] as number) + 1)
      row.push(best)
    }
    rows.push(row)
  }
  return (rows[a.length] as number[])[b.length] as number
}

/** A plain object (not an array, Date or class instance) or TM_QUERY. */
export function plainObject(value: unknown, path: string, what: string): Readonly<Record<string, unknown>> {
  if (isPlainObject(value)) return value
  return fail(path, `${show(value)} is not ${what}`)
}

export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}

/** Freezes a tree of plain objects and arrays. Stops at what is frozen, so shared definitions are not walked again. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const inner of Object.values(value)) deepFreeze(inner)
  return value
}
