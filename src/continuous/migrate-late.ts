import type { Database } from '../postgres/index.ts'
import type { TidemarkConfig } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { readVersions } from './catalog.ts'
import { orderedOutput } from './late-takes.ts'

/**
 * An aggregate that is declared no more stays, and every late row is merged into it, too.
 *
 * @throws TidemarkError TM_MIGRATION when `late: 'merge'` is declared for a hypertable with one that a late row cannot be merged into.
 */
export async function assertLateCanMerge(
  db: Database,
  { datasets, aggregates }: Pick<TidemarkConfig, 'datasets' | 'aggregates'>,
): Promise<void> {
  const merging = new Set(
    datasets.flatMap((one) => (one.kind === 'hypertable' && one.late === 'merge' ? [one.name] : [])),
  )
  if (merging.size === 0) return
  const { rows } = await db.query(sql`select to_regclass('tidemark.aggregate_version') is not null`)
  if (rows[0]?.[0] !== true) return
  const declared = new Set(aggregates.map(({ name }) => name))
  for (const { name, materialization } of await readVersions(db, null)) {
    const { base } = materialization
    const output = orderedOutput(materialization)
    if (output === null || declared.has(name) || !merging.has(base.name)) continue
    throw new TidemarkError('TM_MIGRATION', {
      problem: `${base.name} declares late: 'merge', and "${output}" of ${name}, which is declared no more, depends on the order of rows`,
      todo: `drop it (select tidemark.drop_aggregate('${name}')), or declare late: 'refuse'`,
    })
  }
}
