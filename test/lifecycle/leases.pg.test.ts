import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { Database } from '../../src/postgres/index.ts'
import { printSqlInline } from '../../src/util/sql.ts'
import { createFixture, day, type Fixture, samples, seen, states } from './fixture.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(samples)
  await fixture.writer.insert(samples, day('2026-01-01'))
})
afterEach(() => fixture.drop())

it('a lease that its own flip has given back is not lost while the move comes to its end', async () => {
  const { db } = fixture.test
  let renewals = 0
  const slow: Database = {
    execute: (script) => db.execute(script),
    withConnection: (use, options) => db.withConnection(use, options),
    reading: (options, use) => db.reading(options, use),
    serverVersion: () => db.serverVersion(),
    close: () => db.close(),
    query: async (statement, options) => {
      const answer = await db.query(statement, options)
      if (printSqlInline(statement).includes('set lease_until = now()')) renewals += 1
      return answer
    },
    transaction: (options, work) =>
      db.transaction(options, async (connection) => {
        const result = await work(connection)
        // the flip is committed, the snapshot of the export is still open
        const before = renewals
        if (options.mode === 'repeatable read read only') await vi.waitUntil(() => renewals >= before + 2)
        return result
      }),
  }
  const lifecycle = fixture.another({ db: slow, settings: { leaseMs: 60 } })
  expect(await lifecycle.freeze(samples)).toMatchObject({ chunks: 1, rows: 3, failed: [] })
  expect(await seen(fixture, db, samples)).toEqual(['C s0', 'C s1', 'C s2'])
})

it('a mover that is overtaken stops and says so, and goes on with the next chunk', async () => {
  const { test, files, writer } = fixture
  await writer.insert(samples, day('2026-01-02', 1, 'x'))
  let writes = 0
  const lifecycle = fixture.another({
    settings: { leaseMs: 60 },
    files: {
      ...files,
      async write(request) {
        writes += 1
        if (writes === 1) {
          await test.db.execute(
            `update tidemark.chunk set lease_owner = gen_random_uuid() where lease_owner is not null`,
          )
          await vi.waitUntil(() => request.signal?.aborted)
        }
        return files.write(request)
      },
    },
  })
  const { chunks, failed } = await lifecycle.freeze(samples)
  expect(chunks).toBe(1)
  expect(failed.map(({ reason }) => reason)).toEqual([expect.stringContaining('has taken it over')])
  expect(await states(test.db)).toEqual(['freezing 0', 'cold 1'])
})
