import { TidemarkError } from '../../../util/errors.ts'
import { sql } from '../../../util/sql.ts'
import { inTransaction } from '../../transaction.ts'
import { type Conversion, conversionNames } from '../record.ts'
import type { ConversionRun } from '../run.ts'
import { imageSql } from '../shadow.ts'
import type { Source } from '../source.ts'

/**
 * The order-free sum of row hashes of the source must be that of the shadow plus, with their signs, that of the
 * entries which are still in the queue: all in one snapshot, without a lock, while writers go on.
 */
export async function verifyCopy(run: ConversionRun, conversion: Conversion, source: Source): Promise<void> {
  run.tell('verifying')
  const names = conversionNames(conversion)
  const hash = (alias: string) => sql`hashtextextended(encode(${imageSql(source, alias)}, 'hex'), 0)::numeric`
  const options = {
    mode: 'repeatable read read only',
    lockTimeoutMs: run.settings.lockTimeoutMs,
  } as const
  const { rows } = await inTransaction(run.connection, options, () =>
    run.connection.query(sql`
      select s.n, s.h, d.n + q.n, d.h + q.h
      from
        (select count(*) as n, coalesce(sum(${hash('s')}), 0) as h from ${names.source} as s) as s,
        (select count(*) as n, coalesce(sum(${hash('d')}), 0) as h from ${names.shadow} as d) as d,
        (
          select coalesce(sum(q.tidemark_sign), 0) as n, coalesce(sum(q.tidemark_sign * ${hash('q')}), 0) as h
          from ${names.queue} as q
        ) as q`),
  )
  const [rowCount, rowHash, copiedCount, copiedHash] = rows[0] as [bigint, string, bigint, string]
  if (rowCount === copiedCount && rowHash === copiedHash) return
  throw new TidemarkError('TM_MIGRATION', {
    problem:
      `the copy of ${run.definition.name} is not equal to it: ${rowCount} rows there, ${copiedCount} here. ` +
      'Writes got past the triggers (ALTER TABLE … DISABLE TRIGGER?)',
    todo: 'cancel the conversion and start again: tidemark migrate --cancel-conversion',
  })
}
