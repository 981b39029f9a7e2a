import { identifier, sql } from '../../../util/sql.ts'
import { chunkSchema, text } from '../../table-ddl.ts'
import { advance, type Conversion, conversionNames } from '../record.ts'
import type { ConversionRun } from '../run.ts'
import { shadowIndexes } from '../shadow.ts'
import type { Source } from '../source.ts'
import { equipShadow } from '../swap.ts'
import { explainRows, followQueue } from './follow-queue.ts'

export async function indexConversion(run: ConversionRun, conversion: Conversion): Promise<void> {
  run.tell('indexing')
  const source = await run.unchangedSource(conversion)
  // With what was written since: a duplicate that was copied may be gone by now.
  await followQueue(run, run.connection, conversion, source)
  await createIndexes(run, conversion, source)
  await run.transaction(async () => {
    await equipShadow(run.connection, conversion, run.definition)
    await advance(run.connection, conversion, 'catching-up')
  })
  await run.connection.execute(sql`analyze ${conversionNames(conversion).shadow}`)
}

export async function createIndexes(
  run: ConversionRun,
  conversion: Conversion,
  source: Source,
): Promise<void> {
  for (const index of shadowIndexes(conversion, run.definition, source)) {
    const { rows } = await run.connection.query(sql`
      select to_regclass(${text(identifier(chunkSchema, index.name))}::text) is not null`)
    if (rows[0]![0] === true) continue
    run.assertGoing()
    await explainRows(run, () => run.transaction(() => run.connection.execute(index.statement)))
  }
}
