import { type Database, sqlstateOf } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { quoteLiteral, sql } from '../util/sql.ts'

/**
 * Takes away a continuous aggregate that is declared no more: view, cells of all versions, and its place in the change log, so that
 * neither the log nor the retention of its hypertable waits for it any longer. Its rows are not touched.
 *
 * @example
 * await dropAggregate(db, 'metrics.hourly', config.aggregates)
 *
 * @throws TidemarkError TM_MIGRATION where it is declared, or is not there, or has views on it; TM_BUSY.
 */
export async function dropAggregate(
  db: Database,
  name: string,
  declared: readonly ContinuousAggregateDefinition[],
): Promise<void> {
  if (declared.some((one) => one.name === name))
    throw new TidemarkError('TM_MIGRATION', {
      problem: `the continuous aggregate ${name} is declared, so the next migration would make it again`,
      todo: 'take its declaration away first',
    })
  try {
    await db.transaction({ lockTimeoutMs: 5_000 }, (connection) =>
      connection.query(sql`select tidemark.drop_aggregate(${name}::text)::text`),
    )
  } catch (error) {
    const state = sqlstateOf(error)
    if (state === '42704') {
      const { rows } = await db.query(
        sql`select schema_name || '.' || table_name from tidemark.aggregate order by 1`,
      )
      const left = rows.flat().filter((known) => !declared.some((one) => one.name === known))
      throw new TidemarkError(
        'TM_MIGRATION',
        {
          problem: `there is no continuous aggregate ${name} in this database`,
          todo:
            left.length > 0 ? `no longer declared are ${left.join(', ')}` : 'all that are there are declared',
        },
        { cause: error },
      )
    }
    const problem = error instanceof Error ? error.message : String(error)
    if (state === '55P03')
      throw new TidemarkError(
        'TM_BUSY',
        { what: `dropping the continuous aggregate ${name}`, tries: 1, lastProblem: problem },
        { cause: error },
      )
    if (state !== '2BP01') throw error
    throw new TidemarkError(
      'TM_MIGRATION',
      {
        problem: `the continuous aggregate ${name} cannot be dropped, because other views stand on its own: ${problem}`,
        todo: `drop those first, then: select tidemark.drop_aggregate(${quoteLiteral(name)})`,
      },
      { cause: error },
    )
  }
}
