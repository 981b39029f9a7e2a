import type { ProblemList } from '../schema/index.ts'
import { isTidemarkError } from '../util/errors.ts'

/**
 * What a query refuses, as a problem of the declaration; null then. `place` puts the path in the query where it is in the
 * declaration.
 */
export function attempt<T>(problems: ProblemList, place: (path: string) => string, read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'TM_QUERY') {
      const { path, problem } = error.params as { path: string; problem: string }
      problems.add(place(path), problem)
    } else if (isTidemarkError(error) && error.code === 'TM_LIMIT') {
      const { what, value, limit } = error.params as { what: string; value: string; limit: string }
      problems.add(place(''), `${what} is ${value}, over the limit of ${limit}`)
    } else throw error
    return null
  }
}
