import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { type LiveCaller, LiveHub, type LiveOptions } from '../../src/live/index.ts'
import { defineConfig, hypertable, type TenantScope, t, table } from '../../src/schema/index.ts'
import { scopedTo } from '../../src/scoped.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { isTidemarkError, type TidemarkError } from '../../src/util/errors.ts'
import { toJsonText } from '../../src/util/json.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { TestReader, until } from './test-reader.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    model: t.text(),
    latency: t.float8(),
    tokens: t.int8(),
  },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  changeCell: '1 hour',
})
const hourly = continuousAggregate('metrics.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: { fn: 'count' }, tokens: { fn: 'sum', column: 'tokens' } },
  refresh: { every: '1 minute' },
})
const projects = table('app.projects', {
  columns: { tenant: t.text(), id: t.int4(), name: t.text(), rank: t.int4().nullable() },
  primaryKey: ['tenant', 'id'],
  tenant: 'tenant',
})
const config = defineConfig({ datasets: [requests, hourly, projects] })

const clock = fixedClock(parseInstant('2026-06-10T12:30:00Z'))
let engine: TestEngine<typeof config>
let hub: LiveHub
const readers: TestReader[] = []

beforeAll(async () => {
  engine = await createTestEngine(config, { clock })
})
afterAll(() => engine.close())
beforeEach(async () => {
  clock.set(parseInstant('2026-06-10T12:30:00Z'))
  await engine.test.db.execute('truncate metrics.requests; delete from app.projects')
  hub = createHub()
})
afterEach(() => {
  for (const reader of readers.splice(0)) reader.close()
  hub.close()
})

function createHub(options: Partial<LiveOptions> = {}): LiveHub {
  return new LiveHub({
    feed: engine.tm.feed,
    restMs: 5,
    explain: (error) => {
      if (isTidemarkError(error)) return error
      throw error
    },
    ...options,
  })
}

function callerOf(scope: TenantScope = { kind: 'all' }, principal = 'somebody'): LiveCaller {
  return { engine: scopedTo(engine.tm, scope), principal, datasets: null }
}

function read(query: object, caller = callerOf()): TestReader {
  const reader = new TestReader(hub, caller, query)
  readers.push(reader)
  return reader
}

/** What has been written by now has been looked at. */
async function settled(): Promise<void> {
  await engine.tm.feed.caughtUp()
  for (let last = -1; last !== hub.counts.computations || hub.counts.pending > 0; ) {
    last = hub.counts.computations
    await sleep(50)
  }
}

interface RequestRow {
  readonly time: string
  readonly tenant?: string
  readonly model?: string
  readonly latency?: number
  readonly tokens?: number
}

function insert(...rows: readonly RequestRow[]): Promise<number> {
  const defaults = { tenant: 'a', model: 'm', latency: 1, tokens: 1 }
  return engine.tm.insert(
    requests,
    rows.map((row) => ({ ...defaults, ...row })),
  )
}

const perHour = {
  dataset: 'metrics.requests',
  from: '2026-06-10T00:00:00Z',
  bucket: '1 hour',
  by: ['model'],
  select: { n: { fn: 'count' }, tokens: { fn: 'sum', column: 'tokens' } },
}

it('gives the whole answer first, then only the buckets and groups that changed, asked for alone', async () => {
  await insert({ time: '2026-06-10T01:00:00Z' }, { time: '2026-06-10T05:00:00Z', model: 'x' })
  const reader = read(perHour)
  await until('there is an answer', () => reader.messages.length > 0)
  expect(reader.messages[0]).toMatchObject({
    type: 'answer',
    rows: [
      ['["2026-06-10T01:00:00Z","m"]', { bucket: '2026-06-10T01:00:00Z', model: 'm', n: 1, tokens: '1' }],
      ['["2026-06-10T05:00:00Z","x"]', { bucket: '2026-06-10T05:00:00Z', model: 'x', n: 1, tokens: '1' }],
    ],
  })
  await insert({ time: '2026-06-10T03:10:00Z', tokens: 5 })
  await until('the new bucket is there', () => reader.rows?.length === 3)
  await engine.tm.delete(requests, { where: { model: 'x' } })
  await until('the bucket is gone', () => reader.rows?.length === 2)
  expect(reader.messages.slice(1).map((message) => ({ ...message, resume: '', asOf: '' }))).toEqual([
    {
      type: 'change',
      resume: '',
      asOf: '',
      removed: [],
      set: [
        [
          1,
          '["2026-06-10T03:00:00Z","m"]',
          { bucket: '2026-06-10T03:00:00Z', model: 'm', n: 1, tokens: '5' },
        ],
      ],
    },
    { type: 'change', resume: '', asOf: '', removed: ['["2026-06-10T05:00:00Z","x"]'], set: [] },
  ])
  expect(hub.counts.partial).toBeGreaterThan(0)
})

it('computes a question once for all who ask it, and other questions and scopes by themselves', async () => {
  await insert({ time: '2026-06-10T01:00:00Z' })
  const same = Array.from({ length: 200 }, () => read(perHour))
  const other = read({ ...perHour, by: [] })
  const own = read(perHour, callerOf({ kind: 'one', tenant: 'a' }))
  await until('all have an answer', () => readers.every(({ messages }) => messages.length > 0))
  await settled()
  const before = hub.counts.computations
  await insert({ time: '2026-06-10T01:00:00Z' })
  await until('all are told', () => readers.every(({ messages }) => messages.length > 1))
  expect(hub.counts).toMatchObject({ subscriptions: 202, questions: 3 })
  await settled()
  expect(hub.counts.computations - before).toBe(3)
  for (const reader of [...same, own]) expect(reader.rows).toMatchObject([{ n: 2 }])
  expect(other.rows).toMatchObject([{ n: 2 }])
})

it('what another tenant writes is not sent, and nothing is asked for it', async () => {
  const mine = read(perHour, callerOf({ kind: 'one', tenant: 'a' }))
  const list = read({ dataset: 'app.projects' }, callerOf({ kind: 'one', tenant: 'a' }))
  const none = read(perHour, callerOf({ kind: 'none' }))
  await until('all have an answer', () => readers.every(({ messages }) => messages.length > 0))
  await settled()
  const before = hub.counts.computations
  await insert({ time: '2026-06-10T01:00:00Z', tenant: 'b', model: 'secret' })
  await engine.tm.insert(projects, [{ tenant: 'b', id: 1, name: 'secret' }])
  await settled()
  expect(hub.counts.computations).toBe(before)
  for (const reader of [mine, list, none]) expect(reader.messages).toHaveLength(1)
  expect(JSON.stringify([mine.messages, list.messages, none.messages])).not.toContain('secret')
  await engine.tm.insert(projects, [{ tenant: 'a', id: 1, name: 'mine' }])
  await until('the list has changed', () => list.messages.length > 1)
  expect(list.rows).toEqual([{ tenant: 'a', id: 1, name: 'mine', rank: null }])
})

it('a list keeps the order that was asked for: what moves, comes and goes, by primary key', async () => {
  const put = (id: number, name: string, rank: number | null) =>
    engine.tm.upsert(projects, [{ tenant: 'a', id, name, rank }])
  await put(1, 'one', 1)
  await put(2, 'two', 2)
  await put(3, 'three', null)
  const list = read({ dataset: 'app.projects', columns: ['name'], order: ['-rank'], limit: 3 })
  await until('there is an answer', () => list.messages.length > 0)
  expect(list.rows).toEqual([{ name: 'two' }, { name: 'one' }, { name: 'three' }])
  await put(3, 'three', 9)
  await until('it has moved', () => list.messages.length > 1)
  expect(list.messages[1]).toMatchObject({ removed: [], set: [[0, '["a",3]', { name: 'three' }]] })
  await put(4, 'four', 5)
  await until('it has come', () => list.rows?.some((row) => 'name' in row && row.name === 'four') === true)
  expect(list.rows).toEqual([{ name: 'three' }, { name: 'four' }, { name: 'two' }])
  await engine.tm.delete(projects, { where: { id: 3 } })
  await until('another has moved up', () => list.rows?.length === 3 && toJsonText(list.rows).includes('one'))
  expect(list.rows).toEqual([{ name: 'four' }, { name: 'two' }, { name: 'one' }])
})

it('a reader who comes back is told what has changed since, and the whole where that is not known', async () => {
  await insert({ time: '2026-06-10T01:00:00Z' })
  const reader = read(perHour)
  const other = read(perHour)
  await until('there are answers', () => readers.every(({ messages }) => messages.length > 0))
  reader.close()
  reader.open(hub, callerOf(), perHour)
  await until('he is told that nothing has', () => reader.messages.length === 2)
  expect(reader.messages.at(-1)).toMatchObject({ type: 'change', removed: [], set: [] })
  reader.close()
  await insert({ time: '2026-06-10T02:00:00Z' })
  await insert({ time: '2026-06-10T03:00:00Z' })
  await until('the other has all of it', () => other.rows?.length === 3)
  reader.open(hub, callerOf(), perHour)
  await until('he is told what has', () => reader.messages.length === 3)
  const since = reader.messages.at(-1)
  expect(since?.type === 'change' && since.set.map(([at]) => at)).toEqual([1, 2])
  expect(reader.rows).toEqual(other.rows)
  // after a restart nothing is remembered
  reader.close()
  hub.close()
  hub = createHub()
  await insert({ time: '2026-06-10T04:00:00Z' })
  reader.open(hub, callerOf(), perHour)
  await until('it has the whole', () => reader.rows?.length === 4)
  expect(reader.messages.at(-1)).toMatchObject({ type: 'answer' })
})

it('a slow reader has no queue: he is told the latest, and dropped after a while', async () => {
  hub.close()
  hub = createHub({ maxStallMs: 300 })
  const slow = read(perHour)
  const quick = read(perHour)
  slow.isQuick = false
  await until('there are answers', () => readers.every(({ messages }) => messages.length > 0))
  for (let hour = 1; hour <= 5; hour++) {
    await insert({ time: `2026-06-10T0${hour}:00:00Z` })
    await until('the quick one knows', () => quick.rows?.length === hour)
  }
  expect(slow.messages).toHaveLength(1)
  slow.take()
  expect(slow.messages).toHaveLength(2)
  expect(slow.rows).toEqual(quick.rows)
  await insert({ time: '2026-06-10T06:00:00Z' })
  await until('he is dropped', () => slow.error !== null)
  expect(slow.error).toMatchObject({ code: 'TM_SLOW_READER', retryable: true })
  expect(hub.counts).toMatchObject({ subscriptions: 1, dropped: 1 })
  await insert({ time: '2026-06-10T07:00:00Z' })
  await until('the quick one goes on', () => quick.rows?.length === 7)
  expect(slow.messages).toHaveLength(2)
})

it('a range that slides moves with the time: buckets fall out, and rows of now are in it at once', async () => {
  clock.set(parseInstant('2026-06-10T12:30:00Z'))
  await insert({ time: '2026-06-10T12:29:10Z' }, { time: '2026-06-10T12:29:50Z' })
  const reader = read({
    dataset: 'metrics.requests',
    from: '-50 seconds',
    to: 'now',
    bucket: '10 seconds',
    select: { n: { fn: 'count' } },
  })
  await until('there is an answer', () => reader.messages.length > 0)
  expect(reader.rows).toEqual([
    { bucket: '2026-06-10T12:29:10Z', n: 1 },
    { bucket: '2026-06-10T12:29:50Z', n: 1 },
  ])
  clock.set(parseInstant('2026-06-10T12:30:20Z'))
  await insert({ time: '2026-06-10T12:30:15Z' })
  await until(
    'the new bucket is there, the old one gone',
    () => reader.rows?.length === 2 && toJsonText(reader.rows).includes('12:30'),
  )
  clock.set(parseInstant('2026-06-10T12:31:02Z'))
  await until('time has passed', () => reader.rows?.length === 1, 15_000)
  expect(reader.rows).toEqual([{ bucket: '2026-06-10T12:30:10Z', n: 1 }])
})

it('limits hold: subscriptions of a principal and of a server, questions, rows', async () => {
  hub.close()
  hub = createHub({ maxPerPrincipal: 2, maxSubscriptions: 3, maxQuestions: 2, maxRows: 2, lingerMs: 60_000 })
  const first = read(perHour)
  read(perHour)
  expect(() => read(perHour)).toThrow(expect.objectContaining({ code: 'TM_LIVE_LIMIT' }))
  first.close()
  const again = read({ ...perHour, by: [] })
  const other = callerOf({ kind: 'all' }, 'other')
  expect(() => read({ ...perHour, bucket: '2 hours' }, other)).toThrow(
    expect.objectContaining({ code: 'TM_LIVE_LIMIT' }),
  )
  // what nobody reads gives way
  again.close()
  read({ ...perHour, bucket: '2 hours' }, other)
  read(perHour, other)
  expect(() => read(perHour, callerOf({ kind: 'all' }, 'third'))).toThrow(/3 of a server/)
  await until('there is an answer', () => readers.at(-1)?.resume !== null)
  await insert(
    { time: '2026-06-10T01:00:00Z' },
    { time: '2026-06-10T02:00:00Z' },
    { time: '2026-06-10T05:00:00Z' },
  )
  await until('it is too large', () => hub.counts.subscriptions < 3)
  expect(readers.flatMap(({ error }) => (error as TidemarkError | null)?.code ?? [])).toContain('TM_LIMIT')
})

it('one tenant takes no more than its share of subscriptions, questions and memory, and gets it back', async () => {
  hub.close()
  hub = createHub({ maxSubscriptions: 8, maxQuestions: 4, tenantShare: 0.5, lingerMs: 60_000 })
  const [a, b] = ['a', 'b'].map((tenant) => callerOf({ kind: 'one', tenant }, tenant)) as [
    LiveCaller,
    LiveCaller,
  ]
  const every = (bucket: string) => ({ ...perHour, bucket })
  const one = read(every('1 hour'), a)
  const two = read(every('2 hours'), a)
  const full = (what: string) => expect.objectContaining({ message: expect.stringContaining(what) })
  expect(() => read(every('3 hours'), a)).toThrow(full('your tenant holds 2 different questions'))
  expect(() => read(every('3 hours'), a)).toThrow(full('server.live.tenantShare'))
  // others of the same tenant hold the same part
  const second = callerOf({ kind: 'one', tenant: 'a' }, 'another key')
  read(every('1 hour'), second)
  const fourth = read(every('2 hours'), second)
  expect(() => read(every('1 hour'), a)).toThrow(full('your tenant holds 4 subscriptions'))
  // the other tenant, and the team, have their room
  read(every('1 hour'), b)
  read(every('1 hour'), callerOf())
  const error = () => {
    try {
      read(every('3 hours'), a)
    } catch (caught) {
      return (caught as TidemarkError).code
    }
    return null
  }
  expect(error()).toBe('TM_LIVE_LIMIT')
  // what nobody reads any more gives way, but only to its own tenant
  two.close()
  fourth.close()
  expect(hub.counts.questions).toBe(4)
  read(every('3 hours'), a)
  expect(hub.counts.questions).toBe(4)
  expect(one.error).toBeNull()

  // memory: an answer that grows beyond the part of its tenant ends, and takes nothing with it
  for (const reader of readers.splice(0)) reader.close()
  hub.close()
  hub = createHub({ maxBytes: 20_000, tenantShare: 0.1 })
  const mine = read(every('1 hour'), a)
  const other = read(every('1 hour'), b)
  await until('there are answers', () => mine.resume !== null && other.resume !== null)
  await insert({ time: '2026-06-10T01:00:00Z', tenant: 'b' })
  await until('the other has his row', () => other.rows?.length === 1)
  await insert(
    ...Array.from({ length: 60 }, (_, i) => ({ time: '2026-06-10T01:00:00Z', model: `model ${i}` })),
  )
  await until('it is too large', () => mine.error !== null)
  expect(mine.error).toMatchObject({
    code: 'TM_LIVE_LIMIT',
    message: expect.stringMatching(/bytes of live answers, and this one is \d+ more.*2000 of a tenant/),
  })
  await insert({ time: '2026-06-10T02:00:00Z', tenant: 'b' })
  await until('the other goes on', () => other.rows?.length === 2)
  other.close()
  hub.close()
  expect(hub.counts.bytes).toBe(0)
})

it('what cannot be asked is refused with its path', () => {
  const refused = (query: unknown) => {
    try {
      read(query as object)
    } catch (error) {
      if (isTidemarkError(error)) return `${error.code} ${error.message}`
      throw error
    }
    return 'not refused'
  }
  expect(refused(null)).toMatch(/^TM_QUERY query/)
  expect(refused({})).toMatch(/^TM_QUERY dataset/)
  expect(refused({ dataset: 'no.such' })).toMatch(/^TM_UNKNOWN_DATASET/)
  expect(refused({ ...perHour, select: { n: { fn: 'nothing' } } })).toMatch(/^TM_QUERY select\.n\.fn/)
  expect(refused({ dataset: 'app.projects', order: ['nothing'] })).toMatch(/^TM_QUERY order/)
  expect(refused({ dataset: 'app.projects', order: ['name'], limit: 0 })).toMatch(/^TM_QUERY limit/)
  expect(refused({ dataset: 'metrics.requests', limit: 20_000 })).toMatch(/^TM_LIMIT/)
  expect(refused({ dataset: 'metrics.requests', cursor: 'x' })).toMatch(/^TM_QUERY cursor/)
})

it('ends where it was: random writers, late rows, deletes, freeze, thaw, refresh, readers that come and go', async () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  console.log(`seed ${seed}`)
  const select = {
    n: { fn: 'count' },
    tokens: { fn: 'sum', column: 'tokens' },
    last: { fn: 'last', column: 'latency' },
  }
  const from = '2026-06-07T06:20:00Z'
  const questions: object[] = [
    { dataset: 'metrics.requests', from, bucket: '1 hour', by: ['model'], select },
    {
      dataset: 'metrics.requests',
      from,
      to: '2026-06-10T03:40:00Z',
      bucket: '6 hours',
      zone: 'Asia/Kolkata',
      select,
    },
    {
      dataset: 'metrics.requests',
      bucket: '1 day',
      zone: 'Europe/Berlin',
      by: ['tenant'],
      select,
      having: { n: { gt: 2 } },
    },
    {
      dataset: 'metrics.requests',
      from,
      bucket: '12 hours',
      by: ['model'],
      select,
      order: ['-n', 'model'],
      limit: 4,
    },
    {
      dataset: 'metrics.requests',
      from,
      to: 'now',
      bucket: '12 hours',
      select: { n: { fn: 'count' } },
      fill: { constant: 0 },
    },
    { dataset: 'metrics.requests', from, select },
    { dataset: 'metrics.requests', from, where: { model: 'x' }, direction: 'desc', limit: 10 },
    { dataset: 'metrics.requests', latestBy: ['model'], columns: ['time', 'latency'] },
    { dataset: 'metrics.hourly', from: '2026-06-08', select: { n: 'n', tokens: 'tokens' }, by: ['model'] },
    { dataset: 'app.projects', columns: ['name', 'rank'] },
    { dataset: 'app.projects', where: { rank: { gte: 3 } }, order: ['-rank', 'name'], limit: 4 },
  ]
  const callers = [callerOf(), callerOf({ kind: 'one', tenant: 'a' })]
  const pairs = questions.flatMap((query) =>
    callers.map((caller) => ({ query, caller, reader: read(query, caller) })),
  )
  const act = fc.record({
    kind: fc.constantFrom(
      'insert',
      'insert',
      'insert',
      'late',
      'update',
      'delete',
      'psql',
      'list',
      'list',
      'unlist',
      'move',
      'cut',
      'slow',
    ),
    n: fc.nat(1_000_000),
    model: fc.constantFrom('m', 'x', 'y'),
    tenant: fc.constantFrom('a', 'b'),
  })
  const at = (n: number, days: number): string =>
    new Date(Date.UTC(2026, 5, 10, 12, 29) - (n % (days * 86_400)) * 1000).toISOString()
  const move = async (n: number): Promise<void> => {
    const choice = { from: '2026-06-07', to: n % 2 ? '2026-06-08' : '2026-06-09' }
    if (n % 3 === 0) await engine.tm.freeze('metrics.requests', choice)
    else if (n % 3 === 1) await engine.tm.thaw('metrics.requests', choice)
    else await engine.tm.refresh('metrics.hourly')
  }
  for (const { kind, n, model, tenant } of fc.sample(act, { seed, numRuns: 45 })) {
    const tokens = n % 100
    if (kind === 'insert') await insert({ time: at(n, 1), model, tenant, tokens, latency: n })
    else if (kind === 'late')
      await insert(...[1, 7, 13].map((i) => ({ time: at(n * i, 4), model, tenant, tokens, latency: n + i })))
    else if (kind === 'update')
      await engine.tm.update(requests, {
        where: { model, tenant },
        from: at(n, 2),
        set: { tokens: BigInt(n) },
      })
    else if (kind === 'delete')
      await engine.tm.delete(requests, {
        where: { model, tenant },
        from: at(n, 3),
        to: new Date(Date.parse(at(n, 3)) + 7_200_000),
      })
    else if (kind === 'psql')
      await engine.test.db.query(
        sql`insert into metrics.requests values (${at(n, 1)}::text::timestamptz, ${tenant}::text, ${model}::text, ${n}::float8, 1)`,
      )
    else if (kind === 'list')
      await engine.tm.upsert(projects, [{ tenant, id: n % 8, name: `p${n % 5}`, rank: n % 7 || null }])
    else if (kind === 'unlist') await engine.tm.delete(projects, { where: { tenant, id: n % 8 } })
    else if (kind === 'move') await move(n)
    else {
      const { reader, query, caller } = pairs[n % pairs.length]!
      if (kind === 'slow') {
        reader.isQuick = !reader.isQuick
        if (reader.isQuick) reader.take()
      } else {
        reader.close()
        reader.open(hub, caller, query)
      }
    }
  }
  await engine.tm.feed.caughtUp()
  for (const { reader, query, caller } of pairs) {
    reader.isQuick = true
    reader.take()
    expect(reader.error).toBeNull()
    const { dataset, order, ...asked } = query as { dataset: string; order?: string[] }
    const isSorted = dataset === 'app.projects' && order !== undefined
    const { limit, ...all } = asked as { limit?: number }
    const { rows } = await caller.engine.queryUnknown(
      dataset,
      isSorted ? all : order === undefined ? asked : { ...asked, order },
      { signal: AbortSignal.timeout(20_000) },
    )
    const wanted = isSorted
      ? [...(rows as { rank: number; name: string; tenant: string; id: number }[])]
          .sort((a, b) => b.rank - a.rank || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
          .slice(0, limit)
      : rows
    await until(
      `the answer to ${JSON.stringify(query)} is ${toJsonText(wanted)}, and not ${toJsonText(reader.rows)}`,
      () => toJsonText(reader.rows) === toJsonText(wanted),
    )
  }
  expect(hub.counts.partial).toBeGreaterThan(0)
})
