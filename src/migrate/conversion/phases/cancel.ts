import { TidemarkError } from '../../../util/errors.ts'
import { identifier, sql } from '../../../util/sql.ts'
import { conversionTriggers } from '../queue.ts'
import { advance, type Conversion, conversionNames } from '../record.ts'
import type { ConversionRun } from '../run.ts'

export async function dropConversion(run: ConversionRun, conversion: Conversion): Promise<void> {
  if (conversion.state === 'finishing')
    throw new TidemarkError('TM_MIGRATION', {
      problem: `${run.definition.name} is a hypertable already`,
      todo: `its old rows are in ${conversion.schema}.${conversion.oldTable}, as they were at the swap`,
    })
  const names = conversionNames(conversion)
  const connection = run.connection
  await run.patiently(`cancelling the conversion of ${run.definition.name}`, 'preparing', () =>
    run.transaction(async () => {
      // By its oid: it may have been renamed, or dropped.
      const { rows } = await connection.query(sql`
        select n.nspname, c.relname
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where c.oid = ${conversion.sourceOid}::oid`)
      if (rows[0]) {
        const [schema, name] = rows[0] as [string, string]
        const source = identifier(schema, name)
        for (const trigger of Object.values(conversionTriggers))
          await connection.execute(sql`drop trigger if exists ${identifier(trigger)} on ${source}`)
        await connection.execute(sql`drop index if exists ${identifier(schema, names.timeIndex)}`)
      }
      await connection.execute(sql`
        drop function if exists ${names.log}();
        drop table if exists ${names.queue};
        drop table if exists ${names.shadow}`)
      if (conversion.hypertableId !== null) {
        const id = conversion.hypertableId
        for (const name of [`log_change_${id}`, `log_row_${id}`])
          await connection.execute(sql`drop function if exists ${identifier('tidemark', name)}()`)
        await connection.query(sql`delete from tidemark.hypertable where id = ${id}::int`)
      }
      await connection.query(sql`
        delete from tidemark.conversion_range where conversion_id = ${conversion.id}::int`)
      await advance(connection, conversion, 'cancelled')
    }),
  )
}
