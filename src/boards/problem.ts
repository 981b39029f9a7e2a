import { TimeProblem } from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'

export type Fields = Readonly<Record<string, unknown>>

/** @throws TidemarkError TM_QUERY with the place in the board. */
export function wrong(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An object that has what is needed, and nothing that is not known. */
export function fieldsOf(
  path: string,
  value: unknown,
  needed: readonly string[],
  others: readonly string[],
): Fields {
  const known = [...needed, ...others]
  if (!isFields(value)) return wrong(path, `must be an object with ${known.join(', ')}`)
  for (const key of Object.keys(value))
    if (!known.includes(key)) wrong(below(path, key), `is not known; known: ${known.join(', ')}`)
  for (const key of needed) if (value[key] === undefined) wrong(below(path, key), 'is missing')
  return value
}

export function below(path: string, key: string): string {
  return path === '' || path === 'board' ? key : `${path}.${key}`
}

/** What is wrong there, under the path of where it stands. */
export function within<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof TimeProblem) return wrong(path, error.problem)
    if (!isTidemarkError(error)) throw error
    const { path: inner, problem } = error.params as { readonly path?: unknown; readonly problem?: unknown }
    if (error.code === 'TM_QUERY') wrong(below(path, String(inner)), String(problem))
    if (error.code === 'TM_UNKNOWN_DATASET') wrong(below(path, 'dataset'), error.message)
    throw error
  }
}
