import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OnConflict } from '../../src/hot/index.ts'
import type { IngestBatch, IngestReport } from '../../src/pipeline/index.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { isTidemarkError, type TidemarkError } from '../../src/util/errors.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { batchOf, createTables, devices, events, killBackends, readings, testPipeline } from './fixture.ts'

let test: TestDatabase

beforeAll(async () => {
  test = await createTestDatabase()
  await createTables(test.db)
})
afterAll(() => test.drop())

const faults = ['none', 'none', 'none', 'none', 'type', 'missing', 'unknown', 'constraint', 'object'] as const
type Fault = (typeof faults)[number]

interface Plan {
  readonly key: number
  readonly fault: Fault
}

interface Call {
  readonly table: 'events' | 'samples' | 'devices'
  readonly onConflict: OnConflict
  readonly isAtomic: boolean
  readonly isKeyed: boolean
  readonly rows: readonly Plan[]
}

const call: fc.Arbitrary<Call> = fc
  .record({
    table: fc.constantFrom('events' as const, 'samples' as const, 'devices' as const),
    onConflict: fc.constantFrom('error' as const, 'ignore' as const, 'update' as const),
    isAtomic: fc.boolean(),
    isKeyed: fc.boolean(),
    rows: fc.array(fc.record({ key: fc.nat(60), fault: fc.constantFrom(...faults) }), { maxLength: 12 }),
  })
  // samples take no updates: how many rows were new is exact there
  .map((one) =>
    one.onConflict === 'update' && one.table !== 'devices' ? { ...one, onConflict: 'ignore' } : one,
  )

/** A value is the place of its row among all: so each stored row names the one that it came from. */
function rowOf({ table }: Call, { key, fault }: Plan, value: number): unknown {
  const time = new Date(Date.UTC(2026, 0, 1 + (key % 3)))
  const good =
    table === 'events'
      ? { time, tag: String(value), value: 1 }
      : table === 'samples'
        ? { time, sensor: `s${key}`, value }
        : { id: key, value }
  if (fault === 'none') return good
  if (fault === 'type') return { ...good, value: 'much' }
  if (fault === 'missing') return { ...good, [table === 'devices' ? 'id' : 'time']: undefined }
  if (fault === 'unknown') return { ...good, other: 1 }
  if (fault === 'constraint') return { ...good, value: 1000 + value }
  return value
}

interface Outcome {
  readonly call: Call
  readonly first: number
  readonly report: IngestReport | null
  readonly error: TidemarkError | null
}

const definitions = { events, samples: readings, devices }

async function play(db: Database, calls: readonly Call[], areKilled: boolean): Promise<Outcome[]> {
  const pipeline = testPipeline(db, { maxGroupRows: 40 })
  let first = 0
  let isOver = false
  const killer = (async () => {
    for (let cuts = 0; areKilled && !isOver && cuts < 4; ) {
      await nextTurn()
      cuts += await killBackends(test.db)
    }
  })()
  const outcomes = await Promise.all(
    calls.map(async (one, i): Promise<Outcome> => {
      const from = first
      first += one.rows.length
      const batch: IngestBatch = batchOf(
        definitions[one.table],
        one.rows.map((plan, at) => rowOf(one, plan, from + at)),
        {
          onConflict: one.onConflict,
          isAtomic: one.isAtomic,
          idempotencyKey: one.isKeyed ? `key ${i}` : null,
        },
      )
      try {
        const report = await pipeline.ingest(batch)
        return { call: one, first: from, report, error: null }
      } catch (error) {
        if (!isTidemarkError(error)) throw error
        return { call: one, first: from, report: null, error }
      }
    }),
  )
  isOver = true
  await killer
  await pipeline.close()
  return outcomes
}

/** Values by key, as they are stored. */
async function stored(table: Call['table']): Promise<{ key: string; value: number }[]> {
  const { rows } = await test.db.query(
    table === 'events'
      ? sql`select tag, tag::int4 from events`
      : table === 'samples'
        ? sql`select sensor, value from samples`
        : sql`select 's' || id, value from devices`,
  )
  return rows.map(([key, value]) => ({ key: key as string, value: value as number }))
}

/** Of rows with one key only one is written where keys are compared; what is wrong with the others is not looked for. */
function mayBePassedOver({ table, onConflict, rows }: Call, index: number): boolean {
  if (table === 'events' || onConflict === 'error') return false
  return rows.some(({ key }, other) => other !== index && key === rows[index]!.key)
}

async function check(outcomes: readonly Outcome[], areKilled: boolean): Promise<void> {
  let dead = 0
  for (const { call, report, error } of outcomes) {
    const bad = call.rows.filter(({ fault }) => fault !== 'none').length
    if (report === null) {
      // what may go wrong as a whole: an atomic batch with something bad in it, or a lost server
      const isLost = ['TM_COMMIT_UNKNOWN', 'TM_BUSY', 'TM_CONNECT'].includes(error!.code)
      const isRefused =
        call.isAtomic &&
        (bad > 0 || call.onConflict === 'error') &&
        ['TM_ROW', 'TM_CONSTRAINT', 'TM_DUPLICATE_KEY'].includes(error!.code)
      if (!isRefused) expect({ code: error!.code, isLost }).toMatchObject({ isLost: areKilled })
      if (call.isKeyed) expect(error!.code).not.toBe('TM_COMMIT_UNKNOWN')
      continue
    }
    dead += report.rejected.count
    expect(report.accepted + report.rejected.count).toBe(call.rows.length)
    expect(report.inserted + report.updated + report.ignored).toBe(report.accepted)
    const told = new Set(report.rejected.rows.map(({ index }) => index))
    for (const [index, { fault }] of call.rows.entries()) {
      if (fault !== 'none') {
        if (!(fault === 'constraint' && mayBePassedOver(call, index))) expect(told).toContain(index)
      } else if (told.has(index)) {
        const { reason } = report.rejected.rows.find((row) => row.index === index)!
        expect(reason).toBe('duplicate_key')
      }
    }
  }
  const unknown = outcomes.filter(({ error }) => error?.code === 'TM_COMMIT_UNKNOWN')
  const letters = await test.db.query(sql`select count(*) from tidemark.dead_letter`)
  const count = Number(letters.rows[0]![0])
  if (unknown.length === 0) expect(count).toBe(dead)
  else expect(count).toBeGreaterThanOrEqual(dead)

  for (const table of ['events', 'samples', 'devices'] as const) {
    const rows = await stored(table)
    const ofTable = outcomes.filter(({ call }) => call.table === table)
    const acknowledged = new Map<number, string>()
    const possible = new Set<number>()
    const overwriting = new Map<string, Set<number>>()
    for (const { call, first, report, error } of ofTable)
      for (const [index, { key, fault }] of call.rows.entries()) {
        const value = first + index
        if (fault !== 'none') continue
        if (error?.code === 'TM_COMMIT_UNKNOWN') possible.add(value)
        if (report === null || report.rejected.rows.some((row) => row.index === index)) continue
        acknowledged.set(value, table === 'events' ? String(value) : `s${key}`)
        if (call.onConflict !== 'update') continue
        const values = overwriting.get(`s${key}`) ?? new Set()
        overwriting.set(`s${key}`, values.add(value))
      }
    // each stored row came from one that was acknowledged, and is there once
    expect(new Set(rows.map(({ key }) => key)).size).toBe(rows.length)
    for (const { key, value } of rows) {
      if (possible.has(value)) continue
      expect(acknowledged.get(value)).toBe(key)
      if (overwriting.has(key)) expect(overwriting.get(key)).toContain(value)
    }
    // each acknowledged row is there, or its key is
    const keys = new Set(rows.map(({ key }) => key))
    for (const key of acknowledged.values()) expect(keys).toContain(key)
    const inserted = ofTable.reduce((sum, { report }) => sum + (report?.inserted ?? 0), 0)
    if (possible.size === 0 && table !== 'devices') expect(inserted).toBe(rows.length)
  }
}

describe('many callers at once', () => {
  it.each([
    ['with a server that stays', false, 25],
    ['while connections are cut', true, 12],
  ] as const)('are each told the truth, %s', { timeout: 120_000 }, async (_, areKilled, numRuns) => {
    const db = createDatabase({ connectionString: test.connectionString, max: 10 })
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 40 }), async (calls) => {
          await test.db.execute(
            'truncate events, samples, devices, tidemark.dead_letter, tidemark.ingest_batch',
          )
          await check(await play(db, calls, areKilled), areKilled)
        }),
        { numRuns },
      )
    } finally {
      await db.close()
    }
  })
})
