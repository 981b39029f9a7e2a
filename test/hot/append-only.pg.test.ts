import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createChunkManager, createHotWriter } from '../../src/hot/index.ts'
import { applyPartitionPolicies, migrate } from '../../src/migrate/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { readLog } from './create-test-hypertable.ts'

const sealed = hypertable('public.sealed', {
  columns: { time: t.timestamptz(), value: t.int4() },
  time: 'time',
  chunk: '1 day',
  appendOnly: true,
})

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await migrate(test.db, [sealed])
})
afterAll(() => test.drop())

describe('an append-only table', () => {
  it('has its rows moved from the default partition into chunks, which refuse changes, too', async () => {
    const { db } = test
    const chunks = createChunkManager({ db, applyPolicies: applyPartitionPolicies })
    await db.execute(`insert into sealed values ('2026-01-01T01:00Z', 1), ('2026-01-03T01:00Z', 2)`)
    expect(await chunks.drainDefault(sealed)).toEqual({ kind: 'drained', rows: 2n, chunks: 2 })
    expect(await readLog(db, sealed)).toHaveLength(2)
    expect((await db.query(sql`select count(*) from sealed`)).rows).toEqual([[2n]])
    const { chunks: made } = await chunks.map(sealed)
    const partition = identifier('tidemark_chunks', made[0]!.relation!)
    for (const relation of [identifier('sealed'), partition])
      await expect(db.query(sql`delete from ${relation}`)).rejects.toMatchObject({
        params: { sqlstate: 'TM001' },
      })
  })

  it('takes rows of few and of many', async () => {
    const chunks = createChunkManager({ db: test.db, applyPolicies: applyPartitionPolicies })
    for (const smallRows of [0, 1000]) {
      const writer = createHotWriter({ db: test.db, chunks, smallRows })
      const rows = Array.from({ length: 5 }, (_, i) => ({ time: `2026-02-0${i + 1}T00:00:00Z`, value: i }))
      expect(await writer.insert(sealed, rows)).toEqual({ inserted: 5, ignored: 0 })
    }
    expect((await chunks.defaultPartitionStatus(sealed)).rows).toBe(0n)
  })
})
