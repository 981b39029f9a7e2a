import { timestamptzText } from '../../../changelog/index.ts'
import { type Instant, infinityInstant } from '../../../time/index.ts'
import { TidemarkError } from '../../../util/errors.ts'
import { identifier, sql } from '../../../util/sql.ts'
import { inTransaction } from '../../transaction.ts'
import { chunksOf } from '../queue.ts'
import { advance, type Conversion, conversionNames } from '../record.ts'
import type { ConversionRun } from '../run.ts'
import { copyStatement, createTimeIndex, ensureChunks } from '../shadow.ts'
import type { Source } from '../source.ts'
import { retrySerialization } from './follow-queue.ts'

export async function copyRows(run: ConversionRun, conversion: Conversion): Promise<void> {
  const source = await run.unchangedSource(conversion)
  run.tell('copying')
  for (;;) {
    run.assertGoing()
    const from = await frontier(run, conversion)
    if (from === infinityInstant) break
    await retrySerialization(run, () => copyRange(run, conversion, source, from))
    run.tell('copying')
  }
  await run.transaction(async () => {
    await createTimeIndex(run.connection, conversion, run.definition)
    await advance(run.connection, conversion, 'indexing')
  })
}

async function frontier(run: ConversionRun, conversion: Conversion): Promise<Instant> {
  const { rows } = await run.connection.query(sql`
    select coalesce(max(range_to), '-infinity')
    from tidemark.conversion_range
    where conversion_id = ${conversion.id}::int`)
  return rows[0]![0] as Instant
}

/** The rows, and the snapshot in which they were read, in one transaction. */
async function copyRange(
  run: ConversionRun,
  conversion: Conversion,
  source: Source,
  from: Instant,
): Promise<void> {
  const connection = run.connection
  const definition = run.definition
  const { source: table } = conversionNames(conversion)
  const time = identifier(definition.time)
  const begin = timestamptzText(from)
  const options = { mode: 'repeatable read', lockTimeoutMs: run.settings.lockTimeoutMs } as const
  const rowsCopied = await inTransaction(connection, options, async () => {
    // The next range begins with the first row that is one too many; rows of one time stay together.
    const { rows } = await connection.query(sql`
      select ${time}
      from ${table}
      where ${time} >= ${begin}::timestamptz and isfinite(${time})
      order by ${time}
      offset ${run.settings.batchRows}::int8
      limit 1`)
    let to = (rows[0]?.[0] as Instant | undefined) ?? infinityInstant
    if (to <= from) {
      const next = await connection.query(sql`
        select min(${time}) from ${table} where ${time} > ${begin}::timestamptz and isfinite(${time})`)
      to = (next.rows[0]![0] as Instant | null) ?? infinityInstant
    }
    const last = to === infinityInstant ? to : to - 1n
    await ensureChunks(
      connection,
      conversion,
      definition,
      source,
      await chunksOf(connection, definition, table, { from, to: last }, definition.maxChunks),
    )
    const { rowCount } = await connection.query(copyStatement(conversion, definition, source, from, to))
    await connection.query(sql`
      insert into tidemark.conversion_range (conversion_id, range_from, range_to, snapshot, row_count)
      values (
        ${conversion.id}::int, ${begin}::timestamptz, ${timestamptzText(to)}::timestamptz,
        pg_current_snapshot(), ${rowCount}::int8
      )`)
    const total = await connection.query(sql`
      update tidemark.conversion
      set rows_copied = rows_copied + ${rowCount}::int8
      where id = ${conversion.id}::int and state = 'copying'
      returning rows_copied`)
    if (total.rowCount !== 1) throw lostIt(run)
    return total.rows[0]![0] as bigint
  })
  run.rowsCopied = rowsCopied
}

function lostIt(run: ConversionRun): TidemarkError {
  return new TidemarkError('TM_BUSY', {
    what: run.what,
    tries: 1,
    lastProblem: 'another process changed the state of the conversion',
  })
}
