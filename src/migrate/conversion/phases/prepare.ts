import { infinityInstant, minusInfinityInstant } from '../../../time/index.ts'
import { TidemarkError } from '../../../util/errors.ts'
import { identifier, sql } from '../../../util/sql.ts'
import { relationName, text } from '../../table-ddl.ts'
import { chunksOf, createQueue } from '../queue.ts'
import { advance, type Conversion, conversionNames } from '../record.ts'
import type { ConversionRun } from '../run.ts'
import { createShadow } from '../shadow.ts'
import { dropConversion } from './cancel.ts'

export async function prepareConversion(run: ConversionRun, conversion: Conversion): Promise<void> {
  run.tell('preparing')
  const connection = run.connection
  const source = await run.readSource()
  if (!source.indexes.some((index) => index.beginsWithTime)) await buildTimeIndex(run, conversion)
  const { maxChunks } = run.definition
  const all = { from: minusInfinityInstant, to: infinityInstant }
  const chunks = await chunksOf(connection, run.definition, relationName(run.definition), all, maxChunks + 1)
  if (chunks.length > maxChunks) {
    await dropConversion(run, conversion)
    throw new TidemarkError('TM_CHUNK_CAP', {
      table: run.definition.name,
      needed: chunks.length,
      cap: maxChunks,
    })
  }
  await run.patiently(`starting the conversion of ${run.definition.name}`, 'preparing', () =>
    run.transaction(async () => {
      // First, so that nothing is held while waiting for it.
      await connection.execute(sql`lock table ${relationName(run.definition)} in share row exclusive mode`)
      await createShadow(connection, conversion, run.definition, source)
      await createQueue(connection, conversion, run.definition, source)
      await advance(connection, conversion, 'copying')
    }),
  )
}

/** Without one each batch would read the whole source. */
async function buildTimeIndex(run: ConversionRun, conversion: Conversion): Promise<void> {
  const { timeIndex, source } = conversionNames(conversion)
  const { schema, time } = run.definition
  const { rows } = await run.connection.query(sql`
    select i.indisvalid
    from pg_index as i
    where i.indexrelid = to_regclass(${text(identifier(schema, timeIndex))}::text)`)
  if (rows[0]?.[0] === true) return
  if (rows[0]) await run.connection.execute(sql`drop index concurrently ${identifier(schema, timeIndex)}`)
  run.tell(
    'preparing',
    'an index on the time, which PostgreSQL finishes when every older transaction has ended',
  )
  await run.connection.execute(
    sql`create index concurrently ${identifier(timeIndex)} on ${source} (${identifier(time)})`,
  )
}
