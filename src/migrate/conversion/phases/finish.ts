import { identifier, raw, sql } from '../../../util/sql.ts'
import { relationName, text } from '../../table-ddl.ts'
import { advance, type Conversion } from '../record.ts'
import type { ConversionRun } from '../run.ts'
import { waitForOlderSnapshots } from '../snapshots.ts'
import { fenceTrigger, partitionsOf } from '../swap.ts'

/** Null when all is done, else what is left. */
export async function finishConversion(run: ConversionRun, conversion: Conversion): Promise<string | null> {
  run.tell('finishing')
  const connection = run.connection
  const table = relationName(run.definition)
  for (const key of conversion.foreignKeys) {
    const name = identifier(key.name)
    for (const chunk of await partitionsOf(connection, run.definition)) {
      const { rows } = await connection.query(sql`
        select convalidated from pg_constraint
        where conrelid = ${text(chunk)}::regclass and conname = ${key.name}::name`)
      if (rows[0]?.[0] === false)
        await connection.execute(sql`alter table ${chunk} validate constraint ${name}`)
    }
    const { rows } = await connection.query(sql`
      select count(*)::int4 from pg_constraint
      where conrelid = ${text(table)}::regclass and conname = ${key.name}::name`)
    // Takes those of the chunks over instead of looking at the rows again.
    if (rows[0]![0] === 0)
      await run.patiently(`the foreign key ${key.name}`, 'finishing', () =>
        run.transaction(() =>
          connection.execute(sql`alter table ${table} add constraint ${name} ${raw(key.definition)}`),
        ),
      )
  }
  const older = await waitForOlderSnapshots(run.db, {
    settleMs: run.settings.finishMs,
    besides: null,
    signal: run.signal,
  })
  if (older[0]) return `${older[0].description} has a snapshot from before the swap`
  await run.patiently(`finishing the conversion of ${run.definition.name}`, 'finishing', () =>
    run.transaction(async () => {
      await connection.execute(sql`drop trigger if exists ${identifier(fenceTrigger)} on ${table}`)
      if (run.settings.dropOld)
        await connection.execute(sql`drop table ${identifier(conversion.schema, conversion.oldTable!)}`)
      await connection.query(sql`
        delete from tidemark.conversion_range where conversion_id = ${conversion.id}::int`)
      await advance(connection, conversion, 'done')
    }),
  )
  return null
}
