import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Pipeline, rotateSeen } from '../../src/pipeline/index.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { batchOf, clicks, createTables, testPipeline } from './fixture.ts'

let test: TestDatabase
let other: Database
let pipelines: readonly [Pipeline, Pipeline]

beforeAll(async () => {
  test = await createTestDatabase()
  await createTables(test.db)
  await test.db.execute(`alter table clicks add constraint good check (tag <> 'refused')`)
  other = createDatabase({ connectionString: test.connectionString, max: 4 })
  pipelines = [testPipeline(test.db), testPipeline(other)]
})
afterAll(async () => {
  for (const pipeline of pipelines) await pipeline.close()
  await other.close()
  await test.drop()
})
beforeEach(() =>
  test.db.execute('truncate clicks, tidemark.seen_event, tidemark.seen_generation, tidemark.dead_letter'),
)

const click = (id: string | null, tag = 'x') => ({ time: '2026-01-01T00:00:00Z', id, tag })
const rotate = (withinMs = 0) => rotateSeen(test.db, clicks.name, { withinMs })

async function ids(): Promise<(string | null)[]> {
  const { rows } = await test.db.query(sql`select id from clicks order by id`)
  return rows.map(([id]) => id as string | null)
}

async function waiting(): Promise<number> {
  const { rows } = await test.db.query(sql`
    select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
  return rows.length
}

describe('rows with event ids', () => {
  it('are written once: within a batch, later, from other processes, and beside rows without an id', async () => {
    const first = await pipelines[0].ingest(
      batchOf(clicks, [click('a'), click('b'), click('a'), click(null), click(null)]),
    )
    expect(first).toMatchObject({ accepted: 5, inserted: 4, duplicates: 1 })
    const second = await pipelines[1].ingest(batchOf(clicks, [click('c'), click('b'), click(null)]))
    expect(second).toMatchObject({ accepted: 3, inserted: 2, duplicates: 1 })
    expect(await ids()).toEqual(['a', 'b', 'c', null, null, null])
  })

  it('are written once when many callers send the same at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(15), { minLength: 1, maxLength: 8 }), { minLength: 2, maxLength: 30 }),
        async (batches) => {
          await test.db.execute('truncate clicks, tidemark.seen_event')
          const reports = await Promise.all(
            batches.map((given, i) =>
              pipelines[i % 2]!.ingest(
                batchOf(
                  clicks,
                  given.map((id) => click(`id ${id}`)),
                ),
              ),
            ),
          )
          const distinct = new Set(batches.flat())
          expect(new Set(await ids()).size).toBe(distinct.size)
          expect(await ids()).toHaveLength(distinct.size)
          expect(reports.reduce((sum, { inserted }) => sum + inserted, 0)).toBe(distinct.size)
          for (const [i, { accepted, rejected }] of reports.entries())
            expect([accepted, rejected.count]).toEqual([batches[i]!.length, 0])
        },
      ),
      { numRuns: 20 },
    )
  })

  it('wait for an open transaction with the same id, and are new when it is rolled back', async () => {
    for (const ending of ['commit', 'rollback']) {
      await pipelines[0].ingest(batchOf(clicks, [click(`before ${ending}`)]))
      const connection = await test.connect()
      await connection.execute('begin')
      await connection.query(sql`
        insert into tidemark.seen_event (dataset_id, generation, id)
        select id, generation, ${ending}::text from tidemark.seen_generation`)
      const answer = pipelines[0].ingest(batchOf(clicks, [click(`new ${ending}`), click(ending)]))
      await expect.poll(waiting).toBe(1)
      await connection.execute(ending)
      expect(await answer).toMatchObject(
        ending === 'commit' ? { inserted: 1, duplicates: 1 } : { inserted: 2, duplicates: 0 },
      )
      await connection.close()
    }
  })

  it('that are refused are not remembered: the corrected row is new', async () => {
    const first = await pipelines[0].ingest(batchOf(clicks, [click('a', 'refused'), click('b')]))
    expect(first).toMatchObject({ inserted: 1, rejected: { count: 1 } })
    const second = await pipelines[0].ingest(
      batchOf(clicks, [click('a'), click('c', 'refused'), click('c'), click('c')]),
    )
    expect(second).toMatchObject({ inserted: 2, duplicates: 1, rejected: { count: 1 } })
    expect(await ids()).toEqual(['a', 'b', 'c'])
    const long = await pipelines[0].ingest(batchOf(clicks, [click('ü'.repeat(501)), click('ü'.repeat(500))]))
    expect(long).toMatchObject({
      inserted: 1,
      rejected: { count: 1, rows: [{ column: 'id', reason: 'range' }] },
    })
  })
})

describe('the window of event ids', () => {
  const send = async (id: string) => (await pipelines[0].ingest(batchOf(clicks, [click(id)]))).duplicates

  it('is at least one generation long, and at most two', async () => {
    expect(await send('a')).toBe(0)
    expect(await rotate(60_000)).toEqual({ isRotated: false, deleted: 0 })
    expect(await rotate()).toEqual({ isRotated: true, deleted: 0 })
    expect(await send('a')).toBe(1)
    expect(await send('b')).toBe(0)
    expect(await rotate()).toEqual({ isRotated: true, deleted: 1 })
    expect([await send('a'), await send('b')]).toEqual([0, 1])
    const { rows } = await test.db.query(sql`select generation, id from tidemark.seen_event order by 1, 2`)
    expect(rows).toEqual([
      [2, 'b'],
      [3, 'a'],
    ])
  })

  it('does not move on under a transaction that is writing ids', async () => {
    await send('first')
    const connection = await test.connect()
    await connection.execute('begin; select * from tidemark.seen_generation for key share')
    await expect(rotateSeen(test.db, clicks.name, { withinMs: 0, lockTimeoutMs: 50 })).rejects.toMatchObject({
      cause: { code: '55P03' },
    })
    const rotating = rotateSeen(test.db, clicks.name, { withinMs: 0, lockTimeoutMs: 30_000 })
    await expect.poll(waiting).toBe(1)
    const second = send('second')
    await connection.query(sql`
      insert into tidemark.seen_event (dataset_id, generation, id)
      select id, generation, 'third' from tidemark.seen_generation`)
    await connection.execute('commit')
    expect(await rotating).toMatchObject({ isRotated: true })
    expect([await second, await send('third')]).toEqual([0, 1])
    await connection.close()
  })

  it('moves on though writers never all pause', async () => {
    await send('first')
    const connections = await Promise.all([1, 2, 3].map(() => test.connect()))
    const begin = `begin; select * from tidemark.seen_generation for key share`
    let isOver = false
    // each begins its next transaction while another one is in the midst of its own
    let next = Promise.resolve()
    const writers = connections.map(async (connection) => {
      while (!isOver) {
        const turn = next.then(() => connection.execute(begin))
        next = turn.then(() => sleep(20))
        await turn
        await sleep(70)
        await connection.execute('commit')
      }
      await connection.close()
    })
    await sleep(100)
    try {
      const { isRotated } = await rotateSeen(test.db, clicks.name, { withinMs: 0, lockTimeoutMs: 5000 })
      expect(isRotated).toBe(true)
    } finally {
      isOver = true
      await Promise.all(writers)
    }
  })

  it('loses nothing while it moves on under many writers', async () => {
    for (let round = 0; round < 30; round += 1) {
      const batch = batchOf(
        clicks,
        Array.from({ length: 5 }, (_, i) => click(`${round} ${i}`)),
      )
      // one turn within the life of an id, at any moment of it
      const [first, second, { isRotated }] = await Promise.all([
        pipelines[0].ingest(batch),
        pipelines[1].ingest(batch),
        rotateSeen(test.db, clicks.name, { withinMs: 0, lockTimeoutMs: 30_000 }),
      ])
      expect([round, first.inserted + second.inserted]).toEqual([round, 5])
      if (round > 0) expect(isRotated).toBe(true)
    }
    expect(await ids()).toHaveLength(150)
  })
})
