import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createDuckDB } from '../../src/lake/duckdb.ts'
import { sql } from '../../src/util/sql.ts'

test('DuckDB that could not start is started when it is asked again, and can be closed in between', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-duckdb-'))
  try {
    const spill = join(dir, 'spill')
    await writeFile(spill, 'in the way')
    const open = () => createDuckDB({ threads: 1, temporaryDir: join(spill, 'tmp') })
    const [first, second] = [open(), open()]
    for (const duckdb of [first, second])
      await expect(duckdb.query(sql`select 1`, null)).rejects.toThrow('ENOTDIR')
    await first.close()
    await rm(spill)
    await mkdir(spill)
    expect(await second.query(sql`select 1`, null)).toEqual({ rows: [[1]] })
    await second.close()
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
