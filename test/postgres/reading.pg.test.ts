import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { CountingProxy } from '../helpers/counting-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

describe('a reading', () => {
  let test: TestDatabase
  let proxy: CountingProxy
  let db: Database
  const opening = sql`select pg_current_snapshot(), set_config('tidemark.tenant', 'o''neil', true)`
  const ownProcess = sql`select pg_backend_pid()`
  const options = { opening, statementTimeoutMs: 10_000 }

  beforeAll(async () => {
    test = await createTestDatabase({ empty: true })
    await test.db.execute('create table seen (n int4)')
    proxy = new CountingProxy(test.connectionString)
    db = createDatabase({ connectionString: await proxy.listen(), max: 4, cancelTimeoutMs: 2_000 })
  })
  beforeEach(async () => {
    await test.db.execute('truncate seen; insert into seen select generate_series(1, 2500)')
    proxy.cutAt = null
    proxy.cuts = 0
    await db.query(sql`select 1`)
    proxy.ready = 0
  })
  afterAll(async () => {
    await db.close()
    await proxy.close()
    await test.drop()
  })
  /** Connections of this database in a state, of the one that reads. */
  const connections = async (state: string) => {
    const { rows } = await test.db.query(sql`
      select count(*)::int4 from pg_stat_activity
      where datname = current_database() and state = ${state}::text and pid <> pg_backend_pid()`)
    return rows[0]![0]
  }

  it('takes one round trip for its first statement, and one for the COMMIT behind it', async () => {
    const answer = await db.reading(options, async (reading) => {
      const { rows } = await reading.query(sql`select count(*), current_setting('tidemark.tenant') from seen`)
      expect(proxy.ready).toBe(1)
      const { rows: opened } = await reading.open()
      expect(opened[0]![0]).toMatch(/^\d+:\d+:/)
      expect(proxy.ready).toBe(1)
      return rows
    })
    expect(answer).toEqual([[2500n, `o'neil`]])
    await expect.poll(() => proxy.ready).toBe(2)
    expect(
      (await db.query(sql`select current_setting('tidemark.tenant', true)`)).rows[0]![0] || null,
    ).toBeNull()
    expect((await db.query(sql`show statement_timeout`)).rows).toEqual([['0']])
  })

  it('takes one round trip for all that is asked at once, first or later', async () => {
    await db.reading(options, async (reading) => {
      const ask = (n: number) => reading.query(sql`select ${n}::int4`)
      const read = await Promise.all([ask(1), reading.beside(sql`select 2`), ask(3), reading.open()])
      expect(read.slice(0, 3).map(({ rows }) => rows)).toEqual([[[1]], [[2]], [[3]]])
      expect(proxy.ready).toBe(1)
      const more = await Promise.all([4, 5, 6].map(ask))
      expect(more.map(({ rows }) => rows)).toEqual([[[4]], [[5]], [[6]]])
      expect(proxy.ready).toBe(2)
    })
  })

  it('sends nothing any more once it has ended', async () => {
    const asked: Promise<unknown>[] = []
    await db.reading(options, async (reading) => {
      asked.push(reading.query(sql`select 1`))
    })
    await expect(asked[0]).rejects.toMatchObject({ params: { sqlstate: '08003' } })
    expect(proxy.ready).toBe(0)
    expect((await db.query(sql`select 1`)).rows).toEqual([[1]])
  })

  it('begins nothing when nothing is asked', async () => {
    expect(await db.reading(options, async () => 7)).toBe(7)
    expect(proxy.ready).toBe(0)
  })

  it('sees one snapshot, whoever asks first', async () => {
    await db.reading(options, async (reading) => {
      const ask = () => reading.query(sql`select count(*), pg_current_snapshot() from seen`)
      const [one, two] = await Promise.all([ask(), ask()])
      await test.db.execute('delete from seen')
      const three = await ask()
      expect(two.rows).toEqual(one.rows)
      expect(three.rows).toEqual(one.rows)
      expect((await reading.open()).rows[0]![0]).toBe(one.rows[0]![1])
    })
  })

  it('cannot write', async () => {
    const writing = db.reading(options, (reading) => reading.query(sql`delete from seen`))
    await expect(writing).rejects.toMatchObject({ code: 'TM_DATABASE', params: { sqlstate: '25006' } })
  })

  it('asks nothing more when what it began with has failed', async () => {
    const opened = { ...options, opening: sql`select 1 / 0` }
    const both = db.reading(opened, async (reading) =>
      Promise.allSettled([
        reading.query(sql`select count(*) from seen`),
        reading.query(sql`select count(*) from seen`),
        reading.open(),
      ]),
    )
    // the failure was not thrown on: there is no answer that may be taken for one
    await expect(both).rejects.toMatchObject({ params: { sqlstate: '25P02' } })
    const outcomes: unknown[] = []
    const third = db.reading(opened, async (reading) => {
      for (let i = 0; i < 3; i++)
        await reading.query(sql`select 1`).catch((error: { params: unknown }) => outcomes.push(error.params))
    })
    await expect(third).rejects.toMatchObject({ params: { sqlstate: '25P02' } })
    expect(outcomes).toMatchObject(Array(3).fill({ sqlstate: '22012' }))
    expect(await connections('idle in transaction')).toBe(0)
  })

  it('leaves a clean connection after a failure', async () => {
    for (let i = 0; i < 8; i++) {
      const failing = db.reading(options, (reading) => reading.query(sql`select nowhere from seen`))
      await expect(failing).rejects.toMatchObject({ params: { sqlstate: '42703' } })
    }
    expect((await db.query(sql`select 1::int4`)).rows).toEqual([[1]])
    expect(await connections('idle in transaction (aborted)')).toBe(0)
  })

  it('has one connection for readings in a row, though their COMMITs are not waited for', async () => {
    const processes = new Set<unknown>()
    for (let i = 0; i < 50; i++)
      processes.add(
        await db.reading(options, async (reading) => (await reading.query(ownProcess)).rows[0]![0]),
      )
    expect(processes.size).toBe(1)
  })

  it('has its answer also when the connection is lost with the COMMIT, and the next one gets another', async () => {
    proxy.cutAt = 'commit'
    const processes = new Set<unknown>()
    for (let i = 0; i < 3; i++)
      processes.add(
        await db.reading(options, async (reading) => (await reading.query(ownProcess)).rows[0]![0]),
      )
    await expect.poll(() => proxy.cuts).toBe(3)
    expect(processes.size).toBe(3)
  })

  it('may be repeated when the connection is lost with the first statement', async () => {
    proxy.cutAt = 'from seen'
    const cut = db.reading(options, (reading) => reading.query(sql`select count(*) from seen`))
    await expect(cut).rejects.toMatchObject({ code: 'TM_CONNECT' })
  })

  it('is stopped in the server by its signal and by its time limit', async () => {
    const stop = new AbortController()
    const stopped = db.reading({ ...options, signal: stop.signal }, (reading) =>
      reading.query(sql`select pg_sleep(60), 'of this reading'`),
    )
    const refused = expect(stopped).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    await expect.poll(() => connections('active')).toBe(1)
    stop.abort()
    await refused
    expect(await connections('active')).toBe(0)
    const late = db.reading({ ...options, statementTimeoutMs: 50 }, (reading) =>
      reading.query(sql`select pg_sleep(60)`),
    )
    await expect(late).rejects.toMatchObject({ code: 'TM_TIMEOUT', params: { limitMs: 50 } })
  })

  it('is cancelled when its signal fires after the last statement', async () => {
    const stop = new AbortController()
    const stopped = db.reading({ ...options, signal: stop.signal }, async (reading) => {
      await reading.query(sql`select 1`)
      stop.abort()
    })
    await expect(stopped).rejects.toMatchObject({ code: 'TM_CANCELLED' })
  })

  it('is not to be used when it is over', async () => {
    const kept = await db.reading(options, async (reading) => reading)
    await expect(kept.query(sql`select 1`)).rejects.toMatchObject({ params: { sqlstate: '08003' } })
    await expect(kept.open()).rejects.toMatchObject({ params: { sqlstate: '08003' } })
    const cursor = await db.reading(options, async (reading) => reading.cursor(sql`select n from seen`))
    await expect(cursor.next(1)).rejects.toMatchObject({ params: { sqlstate: '08003' } })
  })

  it('gives rows in pieces, several cursors at a time, each of one execution', async () => {
    await db.reading(options, async (reading) => {
      const rows = (direction: string) =>
        reading.cursor(sql`select n, random() from seen order by n ${raw(direction)}`)
      const up = rows('asc')
      const down = rows('desc')
      const found: { up: unknown[]; down: unknown[] } = { up: [], down: [] }
      for (let isEnd = false; !isEnd; ) {
        const piece = await up.next(1_000)
        found.up.push(...piece.rows.map(([n]) => n))
        await reading.query(sql`select 1`)
        found.down.push(...(await down.next(1_000)).rows.map(([n]) => n))
        isEnd = piece.isEnd
      }
      const all = Array.from({ length: 2_500 }, (_, i) => i + 1)
      expect(found).toEqual({ up: all, down: all.toReversed() })
    })
  })

  it('tells the end of the rows with a piece that is not full, or an empty one', async () => {
    await db.reading(options, async (reading) => {
      const exact = reading.cursor(sql`select n from seen order by n limit 10`)
      expect(await exact.next(4)).toMatchObject({ rows: [[1], [2], [3], [4]], isEnd: false })
      expect(await exact.next(6)).toMatchObject({ isEnd: false })
      expect(await exact.next(1)).toEqual({ rows: [], isEnd: true })
      const none = reading.cursor(sql`select n from seen where false`)
      expect(await none.next(5)).toEqual({ rows: [], isEnd: true })
    })
  })
})
