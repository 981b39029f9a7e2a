import type { QueryableDefinition } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'

/** Undefined table, schema, column or function: what is declared, or Tidemark's own, is not in the database yet. */
const unmigrated = new Set(['42P01', '3F000', '42703', '42883'])

/** Says to migrate when the database does not have what is declared. */
export async function explainUnmigrated<T>(definition: QueryableDefinition, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const params = isTidemarkError(error) && error.code === 'TM_DATABASE' ? error.params : null
    const { sqlstate, problem } = (params ?? {}) as { sqlstate?: string; problem?: string }
    if (sqlstate === undefined || !unmigrated.has(sqlstate)) throw error
    throw new TidemarkError(
      'TM_MIGRATION',
      {
        problem: `the database does not have ${definition.name} as it is declared (${problem})`,
        todo: 'run `tidemark migrate`, or tm.migrate()',
      },
      { cause: error },
    )
  }
}
