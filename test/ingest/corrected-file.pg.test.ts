import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createHotWriter } from '../../src/hot/index.ts'
import { importFile, importFiles } from '../../src/ingest/import-file.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings, testChunks } from '../hot/create-test-hypertable.ts'

it('a long file with one corrected value is another file, wherever the value is', async () => {
  const test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-corrected-'))
  const path = (name: string) => join(folder, name)
  const lines = Array.from({ length: 60_000 }, (_, i) => {
    const fraction = String(i).padStart(6, '0')
    return `2026-01-01T00:00:00.${fraction}Z,t1,${'sensor'.padEnd(40, '-')}${fraction},1`
  })
  const save = (name: string) => writeFile(path(name), `time,tenant,sensor,value\n${lines.join('\n')}\n`)
  await save('first.csv')
  lines[20_000] = `${lines[20_000]!.slice(0, -1)}7`
  await save('corrected.csv')
  await writeFile(path('other.csv'), 'time,tenant,sensor,value\n2026-01-02T00:00:00Z,t1,other,1\n')

  const writer = createHotWriter({ db: test.db, chunks: testChunks(test.db) })
  const request = { db: test.db, writer, definition: readings }
  expect(await importFile({ ...request, file: path('first.csv') })).toMatchObject({ rows: 60_000 })
  const { skipped } = await importFiles({
    ...request,
    files: [path('first.csv'), path('corrected.csv'), path('other.csv')],
    options: { onConflict: 'update' },
  })
  expect(skipped).toEqual([path('first.csv')])
  const { rows } = await test.db.query(sql`select count(*) from readings where value = 7`)
  expect(rows).toEqual([[1n]])
  await rm(folder, { recursive: true })
  await test.drop()
})
