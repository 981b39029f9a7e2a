import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createTidemark } from '../../src/engine.ts'
import { count } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { createTestDatabase } from '../helpers/database.ts'

const columns = { time: t.timestamptz(), device: t.text() }
const before = hypertable('app.points', { columns, time: 'time', primaryKey: ['time', 'device'] })
const after = hypertable('app.points', {
  columns: { ...columns, value: t.float8().nullable() },
  time: 'time',
  primaryKey: ['time', 'device'],
})
const row = { time: '2026-01-01T00:00:00Z', device: 'a' }

it.each(['nothing is migrated', 'a column is not migrated yet'])(
  'when %s, the error says to migrate',
  async (when) => {
    const test = await createTestDatabase({ empty: true })
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-unmigrated-'))
    const tm = await createTidemark(defineConfig({ datasets: [after] }), {
      connectionString: test.connectionString,
    })
    try {
      if (when === 'a column is not migrated yet') {
        const older = await createTidemark(defineConfig({ datasets: [before] }), {
          connectionString: test.connectionString,
        })
        await older.migrate()
        await older.close()
      }
      const file = join(folder, 'points.csv')
      await writeFile(file, 'time,device,value\n2026-01-01T00:00:00Z,a,1\n')
      const calls = {
        query: () => tm.query(after, { select: { n: count('value') } }),
        insert: () => tm.insert(after, [{ ...row, value: 1 }]),
        upsert: () => tm.upsert(after, [{ ...row, value: 1 }]),
        import: () => tm.import('app.points', file),
      }
      for (const [name, call] of Object.entries(calls))
        await expect(call(), name).rejects.toMatchObject({
          code: 'TM_MIGRATION',
          message: expect.stringMatching(/app\.points.*migrate/s),
        })
    } finally {
      await tm.close()
      await rm(folder, { recursive: true })
      await test.drop()
    }
  },
)
