import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { trimChangeLog } from '../../src/changelog/index.ts'
import {
  createChangeWatch,
  createHotTier,
  type PostgresSnapshot,
  withReadSnapshot,
} from '../../src/hot/index.ts'
import { createColdTier } from '../../src/lake/index.ts'
import type { Connection } from '../../src/postgres/index.ts'
import {
  type CountingResultsCache,
  createResultsCache,
  executeQuery,
  parseQuery,
  queryLimits,
  type Tier,
} from '../../src/query/index.ts'
import { fixedClock, formatInstant, parseInstant } from '../../src/time/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { raw } from '../../src/util/sql.ts'
import { type ColdEngine, createColdEngine } from '../lifecycle/cold-engine.ts'
import { samples } from '../lifecycle/fixture-tables.ts'

/**
 * Two processes with caches answer queries in snapshots of now and of before, while rows are written in every way, chunks move,
 * expire and are erased from, and the log is trimmed. Each answer is compared with one that is computed anew in the same snapshot.
 */

const hour = 3_600_000_000n
const first = parseInstant('2026-01-01T00:00:00Z')
const days = 4
const clock = fixedClock(parseInstant('2026-01-04T20:00:00Z'))
const limits = queryLimits()

interface Process {
  readonly tiers: readonly Tier[]
  readonly results: CountingResultsCache
}

interface Writer {
  readonly connection: Connection
  readonly sensor: string
  open: boolean
  prepared: string | null
}

interface HeldSnapshot {
  readonly snapshot: PostgresSnapshot
  readonly process: Process
  release(): Promise<void>
}

let engine: ColdEngine
let writers: Writer[]
let rowNumber = 0

const at = (step: number): bigint => first + BigInt(step % (days * 24 * 60)) * 60_000_000n

function createProcess(memoryBytes: number): Process {
  const { duckdb, store } = engine
  return {
    tiers: [createHotTier(), createColdTier({ duckdb, store })],
    results: createResultsCache({ memoryBytes, watch: createChangeWatch(), cutFromRows: 0 }),
  }
}

beforeAll(async () => {
  engine = await createColdEngine(samples)
  writers = await Promise.all(
    ['w1', 'w2'].map(async (sensor) => ({
      connection: await engine.test.connect(),
      sensor,
      open: false,
      prepared: null,
    })),
  )
})
afterAll(() => engine.close())

const shapes = [
  {
    bucket: '1 hour',
    by: ['sensor'],
    select: { n: { fn: 'count' }, sum: { fn: 'sum', column: 'value' } },
  },
  { bucket: '1 hour', by: [], select: { n: { fn: 'count' } } },
  {
    bucket: '1 day',
    by: [],
    select: { p: { fn: 'percentile', column: 'value', q: 0.9 }, last: { fn: 'last', column: 'value' } },
  },
  {
    bucket: '6 hours',
    zone: 'Europe/Berlin',
    by: ['tenant'],
    where: { sensor: 'p' },
    select: { n: { fn: 'count' }, max: { fn: 'max', column: 'value' } },
  },
] as const

async function compare(process: Process, snapshot: PostgresSnapshot, query: object): Promise<void> {
  const node = parseQuery(query, { dataset: samples, clock, limits })
  const { tiers, results } = process
  const context = { tiers, snapshot, clock, signal: null, limits }
  const kept = await executeQuery(node, { ...context, results })
  const anew = await executeQuery(node, context)
  expect({ query, rows: kept.rows }).toEqual({ query, rows: anew.rows })
}

function hold(process: Process): Promise<HeldSnapshot> {
  return new Promise((resolve, reject) => {
    let free = (): void => {}
    const gate = new Promise<void>((done) => {
      free = done
    })
    const ended = withReadSnapshot(
      engine.test.db,
      { timeoutMs: 60_000, dataset: samples },
      async (snapshot) => {
        const release = async (): Promise<void> => {
          free()
          await ended
        }
        resolve({ snapshot, process, release })
        await gate
      },
    )
    ended.catch(reject)
  })
}

/** A row of a dropped chunk is refused, and then nothing has changed. */
async function insertUnlessExpired(row: Readonly<Record<string, unknown>>): Promise<void> {
  await engine.writer.insert(samples, [row]).catch((error: unknown) => {
    if (!isTidemarkError(error) || error.code !== 'TM_EXPIRED') throw error
  })
}

async function writeIn(writer: Writer, place: number): Promise<void> {
  if (writer.prepared !== null) return
  if (!writer.open) await writer.connection.execute('begin')
  writer.open = true
  rowNumber += 1
  await writer.connection.execute(
    `insert into samples values ('${formatInstant(at(place) + BigInt(rowNumber))}', 'x', '${writer.sensor}', ${rowNumber})`,
  )
}

async function end(writer: Writer, how: 'commit' | 'rollback' | 'prepare'): Promise<void> {
  const { connection, prepared } = writer
  if (prepared !== null) {
    await connection.execute(`${how === 'rollback' ? 'rollback' : 'commit'} prepared '${prepared}'`)
    writer.prepared = null
  } else if (writer.open) {
    if (how === 'prepare') {
      writer.prepared = `${engine.test.name}_${writer.sensor}`
      await connection.execute(`prepare transaction '${writer.prepared}'`)
    } else await connection.execute(how)
    writer.open = false
  }
}

const step = fc.record({
  kind: fc.oneof(
    { weight: 12, arbitrary: fc.constant('query' as const) },
    { weight: 6, arbitrary: fc.constantFrom('insert', 'sql', 'long', 'end') },
    { weight: 3, arbitrary: fc.constantFrom('hold', 'release', 'old query', 'old query') },
    { weight: 3, arbitrary: fc.constantFrom('freeze', 'thaw', 'compact', 'cold insert') },
    { weight: 2, arbitrary: fc.constantFrom('trim', 'erase', 'expire', 'truncate', 'at once') },
  ),
  place: fc.nat(days * 24 * 60 - 1),
  size: fc.nat(days * 24 * 60),
  choice: fc.nat(1000),
})
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

async function run(steps: readonly Step[]): Promise<number> {
  const { test, lifecycle, writer } = engine
  for (const each of writers) await end(each, 'rollback')
  await lifecycle.thaw(samples)
  await test.db.execute(`
    delete from samples;
    update tidemark.chunk set state = 'hot' where state = 'dropped';
    update tidemark.hypertable set epoch = epoch + 1`)
  const processes = [createProcess(4 * 1024 * 1024), createProcess(40_000)]
  const held: HeldSnapshot[] = []
  rowNumber += 1
  await writer.insert(
    samples,
    Array.from({ length: days * 24 * 2 }, (_, i) => ({
      time: at(i * 30),
      tenant: i % 3 ? 'x' : 'y',
      sensor: 'p',
      value: i,
    })),
  )
  const queryOf = ({ place, size, choice }: Step, slid = 0): object => {
    const wide = choice % 2 === 0
    const align = (instant: bigint): bigint => (choice % 3 === 0 ? instant : instant - (instant % hour))
    const by = BigInt(slid) * 60_000_000n
    const from = (wide ? first : align(at(place))) + by
    const to = (wide ? first + BigInt(days) * 24n * hour : from + hour + BigInt(size) * 60_000_000n) + by
    return {
      ...shapes[choice % shapes.length],
      from: formatInstant(from),
      ...(choice % 5 === 0 ? {} : { to: formatInstant(choice % 3 === 0 ? to : to - (to % hour)) }),
    }
  }
  const isIdle = (): boolean => writers.every(({ open, prepared }) => !open && prepared === null)
  try {
    for (const one of steps) {
      const { kind, place, choice } = one
      const process = processes[choice % 2] as Process
      const writing = writers[choice % 2] as Writer
      rowNumber += 1
      const row = { time: at(place) + BigInt(rowNumber), tenant: 'x', sensor: 'p', value: rowNumber }
      switch (kind) {
        case 'query':
          await withReadSnapshot(
            test.db,
            {
              timeoutMs: 30_000,
              dataset: samples,
              taken: choice % 4 === 0 ? 'at once' : 'with the first statement',
            },
            async (snapshot) => {
              await compare(process, snapshot, queryOf(one))
              if (choice % 3 > 0) return
              // a window that slides: its ends are put together from pieces
              for (const slid of [3, 5, 40]) await compare(process, snapshot, queryOf(one, slid))
            },
          )
          break
        case 'at once':
          await Promise.all(
            [0, 1, 2, 3]
              .map((i) =>
                withReadSnapshot(
                  test.db,
                  { timeoutMs: 30_000, dataset: samples, taken: 'with the first statement' },
                  (snapshot) => compare(process, snapshot, queryOf({ ...one, choice: choice + i })),
                ),
              )
              .concat(insertUnlessExpired(row)),
          )
          break
        case 'old query': {
          const old = held[choice % Math.max(1, held.length)]
          if (old) await compare(old.process, old.snapshot, queryOf(one))
          break
        }
        case 'hold':
          if (held.length < 3) held.push(await hold(process))
          break
        case 'release':
          await held.shift()?.release()
          break
        case 'insert':
        case 'cold insert':
          await insertUnlessExpired(row)
          break
        case 'sql': {
          const range = `sensor = 'p' and time >= '${formatInstant(at(place))}' and time < '${formatInstant(at(place) + hour)}'`
          if (isIdle())
            await test.db
              .query(
                raw(
                  choice % 3 === 0
                    ? `delete from samples where ${range}`
                    : choice % 3 === 1
                      ? `update samples set value = value + 1 where ${range}`
                      : `insert into samples values ('${formatInstant(row.time)}', 'y', 'p', ${rowNumber})`,
                ),
              )
              // a guard of cold rows refuses what would miss them
              .catch(onlyGuards)
          break
        }
        case 'long':
          await writeIn(writing, place)
          break
        case 'end':
          await end(writing, choice % 5 === 0 ? 'rollback' : choice % 3 === 0 ? 'prepare' : 'commit')
          break
        case 'freeze':
          if (isIdle()) await lifecycle.freeze(samples, { from: at(place), to: at(place) + 48n * hour })
          break
        case 'thaw':
          if (isIdle()) await lifecycle.thaw(samples)
          break
        case 'compact':
          if (isIdle()) await lifecycle.compact(samples)
          break
        case 'erase':
          if (isIdle() && held.length === 0) {
            const { where } = parseQuery(
              { where: { value: { gt: 40, lt: 44 } } },
              { dataset: samples, clock },
            )
            await lifecycle.erase(samples, { where: where!, range: null })
          }
          break
        case 'expire':
          if (isIdle() && choice % 4 === 0)
            await lifecycle.expire(samples, { cutoff: first + (choice % 8 === 0 ? 24n : 48n) * hour })
          break
        case 'truncate':
          if (isIdle() && held.length === 0 && choice % 3 === 0) {
            const { rows } = await test.db.query(
              raw(
                `select relation_name from tidemark.chunk where relation_name is not null order by id limit 1`,
              ),
            )
            if (rows[0]) await test.db.execute(`truncate tidemark_chunks."${rows[0][0]}"`)
          }
          break
        case 'trim':
          await trimChangeLog(test.db, samples)
          break
      }
    }
  } finally {
    for (const old of held) await old.release()
    for (const each of writers) await end(each, 'rollback')
  }
  return processes.reduce((hits, { results }) => hits + results.counts.hits, 0)
}

function onlyGuards(error: unknown): void {
  if (!/cold|lake/.test(String(error))) throw error
}

it('are what a computation anew gives, in every snapshot, whatever is written, moved and trimmed', async () => {
  let hits = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 40, maxLength: 70 }), async (steps) => {
      hits += await run(steps)
    }),
    { numRuns: 8, endOnFailure: true },
  )
  expect(hits).toBeGreaterThan(100)
}, 180_000)
