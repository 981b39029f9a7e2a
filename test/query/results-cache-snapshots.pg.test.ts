import { afterEach, beforeEach, expect, it } from 'vitest'
import { trimChangeLog } from '../../src/changelog/index.ts'
import {
  createChangeWatch,
  createHotTier,
  type PostgresSnapshot,
  snapshotOf,
  withReadSnapshot,
} from '../../src/hot/index.ts'
import { createResultsCache, executeQuery, parseQuery, queryLimits } from '../../src/query/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { readings } from '../hot/create-test-hypertable.ts'
import { createFixture, type Fixture } from '../lifecycle/fixture.ts'

const clock = fixedClock(parseInstant('2026-01-05T00:00:00Z'))
const limits = queryLimits()
const perHour = {
  from: '2026-01-01',
  to: '2026-01-03',
  bucket: '1 hour',
  select: { n: { fn: 'count' } },
} as const
const maxPerHour = { ...perHour, select: { max: { fn: 'max', column: 'value' } } }

let fixture: Fixture
let results: ReturnType<typeof createResultsCache>
const tier = createHotTier()

beforeEach(async () => {
  fixture = await createFixture(readings)
  results = createResultsCache({ memoryBytes: 1024 * 1024, watch: createChangeWatch() })
  // the writer makes chunks
  const rows = ['2026-01-01T05:00:00Z', '2026-01-02T05:00:00Z'].map((time) => ({
    time,
    tenant: 'x',
    sensor: 'first',
    value: 0,
  }))
  await fixture.writer.insert(readings, rows)
})
afterEach(() => fixture.drop())

let value = 0
async function write(time: string): Promise<void> {
  await fixture.test.db.execute(`insert into readings values ('${time}', 'x', 's${++value}', ${value})`)
}

const look = <T>(use: (snapshot: PostgresSnapshot) => Promise<T>): Promise<T> =>
  withReadSnapshot(fixture.test.db, { timeoutMs: 30_000, dataset: readings }, use)

/** Where the answer came from; it is what a computation anew gives. */
async function ask(snapshot: PostgresSnapshot, query: object = perHour): Promise<string[]> {
  const node = parseQuery(query, { dataset: readings, clock, limits })
  const context = { tiers: [tier], snapshot, clock, signal: null, limits }
  const kept = await executeQuery(node, { ...context, results })
  expect(kept.rows).toEqual((await executeQuery(node, context)).rows)
  return kept.plan.parts.map(({ source }) => source)
}

/** Enough changes elsewhere for what was written to have settled. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i += 1) {
    await write('2026-01-08T00:00:00Z')
    await look((snapshot) => ask(snapshot))
  }
}

/**
 * Looks until no transaction of any database, of other tests too, is open in what was looked at that is as old as an entry of the
 * log: only then is it certain that all of them have been seen.
 */
async function settleEverywhere(): Promise<void> {
  await settle()
  const isSeen = (): Promise<unknown> =>
    look(async (snapshot) => {
      await ask(snapshot)
      const { rows } = await snapshot.query(
        sql`
          select not exists (
            select from tidemark.change_log as l where l.xid >= pg_snapshot_xmin(pg_current_snapshot())
          )`,
        null,
      )
      return rows[0]?.[0]
    })
  await expect.poll(isSeen).toBe(true)
}

/** Of other databases, too, transactions hold a trim back. */
async function trim(): Promise<void> {
  const left = async (): Promise<unknown> => {
    await trimChangeLog(fixture.test.db, readings)
    return (await fixture.test.db.query(sql`select count(*) from tidemark.change_log`)).rows[0]![0]
  }
  await expect.poll(left).toBe(0n)
}

it('a snapshot of before a write is not given what was computed after it', async () => {
  await look((snapshot) => ask(snapshot))
  await look(async (old) => {
    await write('2026-01-01T05:30:00Z')
    await settle()
    expect(await look((snapshot) => ask(snapshot))).toEqual(['cache'])
    expect(await ask(old)).toContain('hot')
    expect(await look((snapshot) => ask(snapshot))).toEqual(['cache'])
  })
})

it('a snapshot between two looks is not given what was right at the first', async () => {
  await look((snapshot) => ask(snapshot))
  await write('2026-01-01T05:30:00Z')
  await look(async (between) => {
    await write('2026-01-02T05:30:00Z')
    await look((snapshot) => ask(snapshot, maxPerHour))
    expect(await ask(between)).toContain('hot')
  })
})

it('an old snapshot uses what has not changed since', async () => {
  await look((snapshot) => ask(snapshot))
  await look(async (old) => {
    await write('2026-01-08T05:30:00Z')
    await look((snapshot) => ask(snapshot))
    expect(await ask(old)).toEqual(['cache'])
  })
})

it('a transaction that ran while its bucket was computed is noticed when it commits, prepared or not', async () => {
  const [a, b] = await Promise.all([fixture.test.connect(), fixture.test.connect()])
  const name = fixture.test.name
  await a.execute(`begin; insert into readings values ('2026-01-01T07:00:00Z', 'x', 'long', 1)`)
  await b.execute(
    `begin; insert into readings values ('2026-01-01T09:00:00Z', 'x', 'long', 1); prepare transaction '${name}'`,
  )
  await look((snapshot) => ask(snapshot))
  // others have come and gone meanwhile
  await settle()
  expect(await look((snapshot) => ask(snapshot))).toEqual(['cache'])
  await a.execute('commit')
  expect(await look((snapshot) => ask(snapshot))).toContain('hot')
  await b.execute(`commit prepared '${name}'`)
  expect(await look((snapshot) => ask(snapshot))).toContain('hot')
})

it('an entry that was trimmed before it was seen counts as a change of everything', async () => {
  await look((snapshot) => ask(snapshot))
  await write('2026-01-01T05:30:00Z')
  await trim()
  expect(await look((snapshot) => ask(snapshot))).toEqual(['hot'])
  // one that had been seen does not
  await settleEverywhere()
  expect(await look((snapshot) => ask(snapshot))).toEqual(['cache'])
  await trim()
  expect(await look((snapshot) => ask(snapshot))).toEqual(['cache'])
})

it('nothing is kept of chunks that retention has dropped', async () => {
  await look((snapshot) => ask(snapshot))
  await fixture.lifecycle.expire(readings, { cutoff: parseInstant('2026-01-02T00:00:00Z') })
  expect(await look((snapshot) => ask(snapshot))).toEqual(['hot', 'cache'])
  await write('2026-01-01T05:30:00Z')
  await look((snapshot) => ask(snapshot))
  await fixture.lifecycle.expire(readings, { cutoff: parseInstant('2026-01-02T00:00:00Z') })
  await look((snapshot) => ask(snapshot))
})

it('a role that sees a part of the rows is answered from rows', async () => {
  await fixture.test.db.execute(
    'alter table readings enable row level security; alter table readings force row level security',
  )
  const role = `r_${fixture.test.name}`
  await fixture.test.db.execute(
    `create role ${role}; grant usage on schema tidemark, tidemark_chunks, public to ${role};
     grant select on all tables in schema tidemark to ${role}; grant select on readings to ${role};
     create policy mine on readings using (tenant = 'x')`,
  )
  try {
    for (let i = 0; i < 2; i += 1)
      await fixture.test.db.transaction({ mode: 'repeatable read read only' }, async (connection) => {
        await connection.execute(`set local role ${role}`)
        expect(await ask(await snapshotOf(fixture.test.db, connection, { dataset: readings }))).toEqual([
          'hot',
        ])
      })
  } finally {
    await fixture.test.db.execute(`drop owned by ${role}; drop role ${role}`)
  }
})
