import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readInvalid } from '../../src/continuous/invalid.ts'
import { type RefreshContext, refreshVersion } from '../../src/continuous/refresh-version.ts'
import { readValidity } from '../../src/continuous/validity.ts'
import { type AggregateVersion, consumerOf } from '../../src/continuous/version.ts'
import { createHotTier } from '../../src/hot/index.ts'
import type { Connection, Database } from '../../src/postgres/index.ts'
import { queryLimits, type Tier } from '../../src/query/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createFixture, day, type Fixture, readings } from '../lifecycle/fixture.ts'
import { aggregateOf, createCells } from './cells-fixture.ts'
import { differences } from './raw-cells.ts'

const hourly = aggregateOf('hourly', readings, {
  bucket: '1 hour',
  by: ['sensor'],
  select: { n: { fn: 'count' }, most: { fn: 'max', column: 'value' } },
})

/** The hot tier, with something that happens while cells are computed, once. */
function interrupted(during: () => Promise<void>): Tier {
  const hot = createHotTier()
  let isDone = false
  return {
    ...hot,
    scan: async (request, context) => {
      const found = await hot.scan(request, context)
      if (!isDone) {
        isDone = true
        await during()
      }
      return found
    },
  }
}

/** A pool whose connections lose their backend before one statement of a transaction. */
function killedBefore(
  db: Database,
  statement: number,
): { readonly db: Database; readonly sent: () => number } {
  let sent = 0
  const step = async (connection: Connection): Promise<void> => {
    if (sent++ === statement)
      await db.query(sql`select pg_terminate_backend(${connection.processId}::int4, 5000)`)
  }
  const face = (connection: Connection): Connection => ({
    ...connection,
    async query(statement, options) {
      await step(connection)
      return connection.query(statement, options)
    },
    async copyFrom(statement, source, options) {
      await step(connection)
      return connection.copyFrom(statement, source, options)
    },
  })
  return {
    sent: () => sent,
    db: {
      query: (statement, options) => db.query(statement, options),
      execute: (script) => db.execute(script),
      withConnection: (use, options) => db.withConnection(use, options),
      reading: (options, use) => db.reading(options, use),
      serverVersion: () => db.serverVersion(),
      close: () => db.close(),
      transaction: (options, use) => db.transaction(options, (connection) => use(face(connection))),
    },
  }
}

describe('while a refresh runs', () => {
  let fixture: Fixture
  let version: AggregateVersion

  beforeEach(async () => {
    fixture = await createFixture(readings)
    version = await createCells(fixture.test.db, hourly)
    await fixture.writer.insert(readings, [...day('2026-01-01', 200), ...day('2026-01-02', 100)])
  })
  afterEach(() => fixture.drop())

  const contextOf = (tier: Tier = createHotTier(), db: Database = fixture.test.db): RefreshContext => ({
    db,
    tiers: [tier],
    clock: fixture.clock,
    limits: queryLimits(),
  })
  const late = (sensor: string) => [
    { time: parseInstant('2026-01-01T01:30:00Z'), tenant: 't1', sensor, value: 1000 },
  ]
  const isValid = async (): Promise<boolean> => {
    const [found] = await readValidity((statement) => fixture.test.db.query(statement), [version], null)
    return found!.invalid.every(({ range }) => range.from >= parseInstant('2026-01-02T00:00:00Z'))
  }

  it('a row that is committed between its snapshot and its commit makes its cells invalid', async () => {
    const context = contextOf(
      interrupted(async () => void (await fixture.writer.insert(readings, late('x')))),
    )
    await refreshVersion(context, version)
    expect(await isValid()).toBe(false)
    expect(await differences(context, version)).toEqual([])
    expect((await refreshVersion(context, version)).entries).toBe(1n)
    expect(await isValid()).toBe(true)
    expect(await differences(context, version)).toEqual([])
  })

  it('a writer that stays open across it is not missed', async () => {
    const writer = await fixture.test.connect()
    await writer.execute(`begin; insert into readings values ('2026-01-01T01:30:00Z', 't1', 'open', 5000)`)
    await refreshVersion(contextOf(), version)
    // others write, and their entries come after, in the order of numbers
    await fixture.writer.insert(readings, late('y'))
    await refreshVersion(contextOf(), version)
    expect(await isValid()).toBe(true)
    await writer.execute('commit')
    expect(await isValid()).toBe(false)
    await refreshVersion(contextOf(), version)
    expect(await isValid()).toBe(true)
    expect(await differences(contextOf(), version)).toEqual([])
  })

  it('a prepared transaction is not missed', async () => {
    const writer = await fixture.test.connect()
    await writer.execute(
      `begin; insert into readings values ('2026-01-01T01:30:00Z', 't1', 'prepared', 5000); prepare transaction 'late'`,
    )
    await refreshVersion(contextOf(), version)
    expect(await isValid()).toBe(true)
    await writer.execute(`commit prepared 'late'`)
    expect(await isValid()).toBe(false)
    await refreshVersion(contextOf(), version)
    expect(await isValid()).toBe(true)
    expect(await differences(contextOf(), version)).toEqual([])
  })

  it('its connection may be cut before any statement', async () => {
    for (let statement = 0, sent = 1; statement < sent; statement++) {
      await fixture.writer.insert(readings, late(`k${statement}`))
      const killed = killedBefore(fixture.test.db, statement)
      await refreshVersion(contextOf(createHotTier(), killed.db), version)
      sent = killed.sent()
      expect(await isValid()).toBe(true)
      expect(await differences(contextOf(), version)).toEqual([])
    }
  }, 60_000)

  it('another one leaves it alone, and both together compute everything', async () => {
    let other: Promise<{ readonly isBusy: boolean }> | null = null
    const context = contextOf(
      interrupted(async () => {
        other = refreshVersion(contextOf(), version)
        expect((await other).isBusy).toBe(true)
      }),
    )
    await refreshVersion(context, version)
    expect(other).not.toBeNull()
    await fixture.writer.insert(readings, late('z'))
    await Promise.all([1, 2, 3].map(() => refreshVersion(contextOf(), version)))
    await refreshVersion(contextOf(), version)
    expect(await isValid()).toBe(true)
    expect(await differences(contextOf(), version)).toEqual([])
  })

  it('a restore on another timeline makes it start over, and cells that nobody knows of go', async () => {
    await refreshVersion(contextOf(), version)
    const { db } = fixture.test
    await db.query(sql`
      update tidemark.change_consumer set timeline = 'FFFFFFFF' where name = ${consumerOf(version).name}::text`)
    await db.execute(`
      insert into tidemark_aggregates.hourly_1 (bucket, key_0, key_1) values ('2024-01-01', 't1', 'stale'), ('2026-01-01 05:00', 't1', 'stale')`)
    const report = await refreshVersion(contextOf(), version)
    expect(report).toMatchObject({ startOver: 'other-timeline', rows: 300 })
    expect(
      await db.query(sql`select count(*) from tidemark_aggregates.hourly_1 where key_1 = 'stale'`),
    ).toMatchObject({
      rows: [[0n]],
    })
    expect(await differences(contextOf(), version)).toEqual([])
  })

  it('a long work is done in short transactions, newest first, and goes on where it was stopped', async () => {
    const shares: number[] = []
    const stop = new AbortController()
    const context = { ...contextOf(), settings: { maxRows: 20, batchMs: 0 } }
    await expect(
      refreshVersion(context, version, {
        signal: stop.signal,
        onProgress: ({ share, batches }) => {
          shares.push(share)
          if (batches === 2) stop.abort()
        },
      }),
    ).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    const left = await readInvalid(fixture.test.db, version.id)
    expect(left).toHaveLength(2)
    expect(left[0]!.range.from).toBe(parseInstant('2026-01-01T00:00:00Z'))
    expect(await differences(context, version)).toEqual([])
    const { rows } = await refreshVersion(context, version)
    expect(rows).toBeLessThan(300)
    expect(await differences(context, version)).toEqual([])
    expect(await isValid()).toBe(true)
  })
})
