import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { trimChangeLog, trimTableChanges } from '../../src/changelog/index.ts'
import { type ChangeFeed, createChangeFeed, type FeedEvent } from '../../src/feed/index.ts'
import { migrate } from '../../src/migrate/index.ts'
import { type Connection, createDatabase, type Database } from '../../src/postgres/index.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { printSql, raw, sql } from '../../src/util/sql.ts'
import { shortRange } from '../changelog/helpers.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { pgBouncer, startPgBouncer } from '../helpers/pgbouncer.ts'

const readings = hypertable('public.readings', {
  columns: { time: t.timestamptz(), tenant: t.text(), value: t.float8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  changeCell: '1 hour',
})
const notes = table('app.notes', { columns: { id: t.int4(), text: t.text() }, primaryKey: ['id'] })

type Lent = Connection & { close(): Promise<void> }

let test: TestDatabase
let a: Lent
let b: Lent
const open: ChangeFeed[] = []

beforeAll(async () => {
  test = await createTestDatabase()
  await migrate(test.db, [readings, notes])
  a = await test.connect()
  b = await test.connect()
})
afterAll(() => test.drop())
afterEach(async () => {
  await Promise.all(open.splice(0).map((feed) => feed.close()))
  await a.execute('rollback')
  await b.execute('rollback')
})

function describeEvent(event: FeedEvent): string[] {
  if (event.kind === 'reset') return [`reset: ${event.reason}`]
  if (event.kind === 'refused') return [`refused: ${event.error.code}`]
  return event.changes.map(
    ({ dataset, tenant, range }) => `${dataset} ${tenant ?? '*'} ${range === null ? '*' : shortRange(range)}`,
  )
}

/** A feed that has told its first reset, and what it tells from then on. */
async function follow(
  options: { readonly listenTo?: string } = {},
): Promise<{ feed: ChangeFeed; told: string[] }> {
  const feed = createChangeFeed({ db: test.db, pollMs: 60_000, busyPollMs: 60_000, ...options })
  open.push(feed)
  const told: string[] = []
  feed.subscribe((event) => told.push(...describeEvent(event).sort()))
  await feed.caughtUp()
  expect(told.splice(0)).toEqual(['reset: nothing has been followed before'])
  return { feed, told }
}

/** A database that counts how often a feed has asked. */
function counting(): { readonly db: Database; readonly looks: { asked: number } } {
  const looks = { asked: 0 }
  const query: Database['query'] = (statement, options) => {
    if (printSql(statement).text.includes('changes_after')) looks.asked += 1
    return test.db.query(statement, options)
  }
  return { looks, db: { ...test.db, query } }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > end) throw new Error('waited in vain')
    await sleep(5)
  }
}

const insert = (hour: number, tenant = 't1') =>
  `insert into readings values ('2026-01-01T${String(hour).padStart(2, '0')}:10Z', '${tenant}', 1)`

it('tells what was committed, of hypertables and plain tables, each once', async () => {
  const { feed, told } = await follow()
  await a.execute(insert(3))
  await a.execute(insert(4))
  await a.execute(insert(9, 't2'))
  await a.execute(`insert into app.notes values (1, 'x')`)
  await feed.caughtUp()
  expect(told.splice(0)).toEqual([
    'app.notes * *',
    'public.readings t1 01-01T03:00 01-01T05:00',
    'public.readings t2 01-01T09:00 01-01T10:00',
  ])
  await feed.caughtUp()
  expect(told).toEqual([])
  expect(feed.behindMs).toBeLessThan(10_000)
})

it('asks once for whoever writes and waits in one turn, and once more for who comes while it asks', async () => {
  const { db, looks } = counting()
  const feed = createChangeFeed({ db, pollMs: 60_000, busyPollMs: 60_000 })
  open.push(feed)
  const told: string[] = []
  feed.subscribe((event) => told.push(...describeEvent(event)))
  await feed.caughtUp()
  looks.asked = 0
  for (let i = 1; i <= 3; i++) {
    told.length = 0
    await a.execute(`insert into app.notes values (${100 + i}, 'x')`)
    feed.wrote()
    // as a route does that has written, and answers
    await Promise.resolve()
    await feed.caughtUp()
    expect(told).toEqual(['app.notes * *'])
    expect(looks.asked).toBe(i)
  }
  const first = feed.caughtUp()
  await until(() => looks.asked === 4)
  await a.execute(`insert into app.notes values (110, 'x')`)
  told.length = 0
  await Promise.all([first, feed.caughtUp(), feed.caughtUp()])
  expect(told).toEqual(['app.notes * *'])
  expect(looks.asked).toBeLessThanOrEqual(5)
})

it('tells nothing before it is committed, and a long transaction when it has ended, behind later ones', async () => {
  const { feed, told } = await follow()
  await a.execute('begin')
  await a.execute(insert(3))
  await b.execute(insert(5))
  await feed.caughtUp()
  expect(told.splice(0)).toEqual(['public.readings t1 01-01T05:00 01-01T06:00'])
  await a.execute('commit')
  await feed.caughtUp()
  expect(told.splice(0)).toEqual(['public.readings t1 01-01T03:00 01-01T04:00'])
  await a.execute('begin')
  await a.execute(insert(7))
  await a.execute('rollback')
  await feed.caughtUp()
  expect(told).toEqual([])
})

it('whoever is told of a change sees it in a new snapshot, and nothing is told twice: random interleavings', async () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  console.log(`seed ${seed}`)
  const { feed, told } = await follow()
  let hour = 0
  // four transactions that begin, write, commit and roll back in any order; each writes an hour of its own once
  const writers: { connection: Lent; hours: string[] | null }[] = [
    a,
    b,
    await test.connect(),
    await test.connect(),
  ].map((connection) => ({ connection, hours: null }))
  const expected: string[] = []
  const seen: string[] = []
  const step = fc.record({
    writer: fc.nat(3),
    act: fc.constantFrom('write', 'write', 'commit', 'rollback', 'look'),
  })
  for (const { writer: at, act } of fc.sample(step, { seed, numRuns: 250 })) {
    const writer = writers[at]!
    if (act === 'look') {
      await feed.caughtUp()
      seen.push(...told.splice(0))
      expect(seen.slice().sort()).toEqual(expected.slice().sort())
    } else if (act === 'write') {
      if (writer.hours === null) await writer.connection.execute('begin')
      writer.hours ??= []
      // hours apart, so that no two are one range
      const at = new Date(Date.UTC(2027, 0, 1) + 2 * 3_600_000 * hour++)
      await writer.connection.query(sql`insert into readings values (${at}::timestamptz, 'r', 1)`)
      const text = (date: Date) => date.toISOString().slice(0, 16).slice(5)
      writer.hours.push(`public.readings r ${text(at)} ${text(new Date(at.getTime() + 3_600_000))}`)
    } else if (writer.hours !== null) {
      await writer.connection.execute(act)
      if (act === 'commit') expected.push(...writer.hours)
      writer.hours = null
    }
  }
  for (const { connection } of writers) await connection.execute('rollback')
  await feed.caughtUp()
  seen.push(...told)
  expect(seen.sort()).toEqual(expected.sort())
  expect(expected.length).toBeGreaterThan(10)
})

/** Transactions of other databases of the server count, too: until all have ended that were there before the last entry. */
async function othersEnded(): Promise<void> {
  await until(async () => {
    const { rows } = await test.db.query(sql`
      select coalesce(
        pg_snapshot_xmin(pg_current_snapshot()) > greatest(
          (select max(xid) from tidemark.table_change), (select max(xid) from tidemark.change_log)
        ), true)`)
    return rows[0]?.[0] === true
  })
}

it('says reset when entries were trimmed before they were seen, and goes on when all had been seen', async () => {
  const { feed, told } = await follow()
  await a.execute(`insert into app.notes values (10, 'x')`)
  await a.execute(insert(3))
  await othersEnded()
  await feed.caughtUp()
  told.splice(0)
  expect(await trimTableChanges(test.db, { keepMs: 0 })).toBeGreaterThan(0)
  expect((await trimChangeLog(test.db, readings)).deleted).toBeGreaterThan(0)
  await feed.caughtUp()
  expect(told.splice(0)).toEqual([])
  await a.execute(`insert into app.notes values (11, 'x')`)
  await othersEnded()
  expect(await trimTableChanges(test.db, { keepMs: 0 })).toBe(1)
  await feed.caughtUp()
  const reset = 'reset: more has changed than can be told, or the log was trimmed before it was read'
  expect(told.splice(0)).toEqual([reset])
  await a.execute(insert(3))
  await othersEnded()
  expect((await trimChangeLog(test.db, readings)).deleted).toBe(1)
  await feed.caughtUp()
  expect(told.splice(0)).toEqual([reset])
  await a.execute(insert(3))
  await othersEnded()
  expect((await trimChangeLog(test.db, readings, { keepMs: 60_000 })).deleted).toBe(0)
  await feed.caughtUp()
  expect(told).toEqual(['public.readings t1 01-01T03:00 01-01T04:00'])
})

it('says reset after a crash or a failover: numbers of transactions are given out anew', async () => {
  const { feed, told } = await follow()
  // what a crash does to the statistics; a failover starts another server
  await a.execute(`select pg_stat_reset_shared('bgwriter')`)
  await feed.caughtUp()
  expect(told).toEqual(['reset: the server was started anew, has failed over, or is another one'])
})

it('says reset rather than telling more than is worth it', async () => {
  const { feed, told } = await follow()
  await a.execute(`
    insert into tidemark.table_change (dataset) select 'app.notes' from generate_series(1, 20001)`)
  await feed.caughtUp()
  expect(told).toEqual([
    'reset: more has changed than can be told, or the log was trimmed before it was read',
  ])
})

it('tells of a dropped chunk, which no entry does, once', async () => {
  const { feed, told } = await follow()
  await a.execute(
    raw(`
    insert into tidemark.chunk (hypertable_id, range_from, range_to, state)
    select id, '2020-01-01Z', '2020-01-02Z', 'dropped' from tidemark.hypertable;
    update tidemark.hypertable set epoch = epoch + 1`),
  )
  await feed.caughtUp()
  expect(told.splice(0)).toEqual(['public.readings * 01-01T00:00 01-02T00:00'])
  await a.execute('update tidemark.hypertable set epoch = epoch + 1')
  await feed.caughtUp()
  expect(told).toEqual([])
})

it('is woken by another process that has written, without waiting for its poll', async () => {
  const writer = createChangeFeed({ db: test.db })
  open.push(writer)
  const { feed, told } = await follow({ listenTo: test.connectionString })
  // until it listens, it looks when it has begun to
  await until(() => feed.behindMs < 50)
  await a.execute(insert(3))
  for (let tries = 0; told.length === 0 && tries < 200; tries++) {
    writer.wrote()
    await sleep(20)
  }
  expect(told).toEqual(['public.readings t1 01-01T03:00 01-01T04:00'])
})

it('is woken by what others have written, and not once more by what it has told them', async () => {
  const [mine, other] = [counting(), counting()]
  const [writer, reader] = [mine, other].map(({ db }) => {
    const feed = createChangeFeed({
      ...{ db, listenTo: test.connectionString },
      ...{ pollMs: 60_000, busyPollMs: 60_000 },
    })
    open.push(feed)
    feed.subscribe(() => {})
    return feed
  }) as [ChangeFeed, ChangeFeed]
  // one look at the beginning, one when it listens
  await until(() => mine.looks.asked >= 2 && other.looks.asked >= 2)
  await Promise.all([writer.caughtUp(), reader.caughtUp()])
  const [before, heard] = [mine.looks.asked, other.looks.asked]
  for (let i = 1; i <= 3; i++) {
    writer.wrote()
    await until(() => other.looks.asked === heard + i)
  }
  expect(mine.looks.asked).toBe(before + 3)
})

it('through a pooler it does not listen, and polls', async ({ skip }) => {
  skip(pgBouncer === undefined, 'pgbouncer is not installed')
  const pooler = await startPgBouncer(test.connectionString)
  const db = createDatabase({ connectionString: pooler.connectionString, max: 2 })
  try {
    const feed = createChangeFeed({ db, listenTo: pooler.connectionString, pollMs: 50, busyPollMs: 50 })
    open.push(feed)
    const told: string[] = []
    feed.subscribe((event) => told.push(...describeEvent(event)))
    await until(() => told.length > 0)
    await a.execute(insert(3))
    await until(() => told.length > 1)
    expect(told[1]).toBe('public.readings t1 01-01T03:00 01-01T04:00')
    const { rows } = await test.db.query(sql`
      select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen %'`)
    expect(rows).toEqual([[0n]])
    await feed.close()
  } finally {
    await db.close()
    await pooler.stop()
  }
})

it('polls while somebody listens, and not otherwise; who comes back hears what was meanwhile', async () => {
  const feed = createChangeFeed({ db: test.db, pollMs: 20, busyPollMs: 20 })
  open.push(feed)
  const told: string[] = []
  const stop = feed.subscribe((event) => told.push(...describeEvent(event)))
  await until(() => told.length > 0)
  await a.execute(insert(3))
  await until(() => told.length > 1)
  stop()
  told.splice(0)
  await a.execute(insert(5))
  await feed.caughtUp()
  expect(told).toEqual([])
  feed.subscribe((event) => told.push(...describeEvent(event)))
  await until(() => told.length > 0)
  expect(told).toEqual(['public.readings t1 01-01T05:00 01-01T06:00'])
})

it('outlives PostgreSQL being away: says so once, and goes on', async () => {
  const errors: Error[] = []
  let isAway = false
  const db = {
    ...test.db,
    query: ((statement, options) =>
      isAway
        ? test.db.query(sql`select pg_terminate_backend(pg_backend_pid())`)
        : test.db.query(statement, options)) as typeof test.db.query,
  }
  const feed = createChangeFeed({ db, pollMs: 20, busyPollMs: 20, onError: (error) => errors.push(error) })
  open.push(feed)
  const told: string[] = []
  feed.subscribe((event) => told.push(...describeEvent(event)))
  await feed.caughtUp()
  isAway = true
  await expect(feed.caughtUp()).rejects.toMatchObject({ name: 'TidemarkError' })
  await expect(feed.caughtUp()).rejects.toMatchObject({ name: 'TidemarkError' })
  await a.execute(insert(3))
  isAway = false
  await until(() => told.length > 1)
  expect(told[1]).toBe('public.readings t1 01-01T03:00 01-01T04:00')
  expect(errors).toHaveLength(1)
  await expect(feed.caughtUp(AbortSignal.abort())).rejects.toMatchObject({ code: 'TM_CANCELLED' })
})
