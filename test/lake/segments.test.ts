import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createDuckDB,
  createFolderStore,
  createLakeFiles,
  createLakeSegments,
  createLoadChecks,
  type DuckDB,
  hashRows,
  type LakeSegments,
} from '../../src/lake/index.ts'
import { RowSlots, slotHow } from '../../src/postgres/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import type { TimeRange } from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'
import { raw } from '../../src/util/sql.ts'
import { copyStream } from './lake-rows.ts'

const plain = hypertable('lake.plain', {
  columns: {
    at: t.timestamptz().nullable(),
    time: t.timestamptz(),
    host: t.text().nullable(),
    double: t.float8().nullable(),
    single: t.float4().nullable(),
    large: t.int8().nullable(),
    whole: t.int4().nullable(),
    small: t.int2().nullable(),
  },
  time: 'time',
  chunk: '1 day',
  orderBy: ['host', 'time'],
})
const day = 86_400_000_000n
const start = 1767225600000000n
const rangeOf = (number: number): TimeRange => ({
  from: start + BigInt(number) * day,
  to: start + BigInt(number + 1) * day,
})

let dir: string
let duckdb: DuckDB
let segments: LakeSegments
let parts: { duckdb: DuckDB; store: ReturnType<typeof createFolderStore> }
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tidemark-segments-'))
  duckdb = createDuckDB({
    threads: 1,
    memoryBytes: 256 * 1024 * 1024,
    temporaryDir: join(dir, 'tmp', 'spill'),
  })
  parts = { duckdb, store: createFolderStore({ dir }) }
  segments = createLakeSegments(parts)
})
afterAll(async () => {
  await duckdb.close()
  await rm(dir, { recursive: true, force: true })
})

type Row = readonly [
  at: bigint | null,
  time: bigint,
  host: string | null,
  double: number | null,
  single: number | null,
  large: bigint | null,
  whole: number | null,
  small: number | null,
]

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 6 })
const micros = fc.bigInt(-9_007_199_254_740_991n, 9_007_199_254_740_991n)
const text = fc.oneof(
  fc.string({ unit: 'grapheme-ascii', maxLength: 20 }),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.constantFrom('', 'x'.repeat(12), 'x'.repeat(13), 'é'.repeat(200), 'é'.repeat(40_000)),
)
const row: fc.Arbitrary<Row> = fc.tuple(
  maybe(micros),
  fc.bigInt(0n, 3n * day - 1n).map((offset) => start + offset),
  maybe(text.filter((value) => !value.includes('\0'))),
  maybe(fc.oneof(fc.double(), fc.constantFrom(-0, 0, Number.NaN, Number.POSITIVE_INFINITY))),
  maybe(fc.oneof(fc.float(), fc.constantFrom(-0, 0, Number.NaN))),
  maybe(micros),
  maybe(fc.integer()),
  maybe(fc.integer({ min: -32768, max: 32767 })),
)

/** As lanes fill them. */
function fill(slots: RowSlots, values: Row): void {
  for (const [i, value] of values.entries()) {
    if (value === null) slots.how[i] = slotHow.null
    else if (typeof value !== 'string') {
      slots.how[i] = slotHow.number
      slots.numbers[i] = Number(value)
    } else if (/^[ -~]*$/.test(value)) {
      slots.how[i] = slotHow.span
      slots.source = `,${value},`
      slots.from[i] = 1
      slots.to[i] = value.length + 1
    } else {
      slots.how[i] = slotHow.value
      slots.values[i] = value
    }
  }
}

const ranges = [0, 1, 2].map(rangeOf)
const chunkOf = (time: bigint): TimeRange => ranges[Number((time - start) / day)]!

describe('rows of any chunks become one file for each', () => {
  it('with the content that PostgreSQL would have sent, whichever way they come', async () => {
    const repeated = fc
      .array(row, { minLength: 1, maxLength: 60 })
      .chain((rows) => fc.tuple(fc.constant(rows), fc.integer({ min: 1, max: 90 })))
      .map(([rows, times]) => Array.from({ length: times }, () => rows).flat())
    await fc.assert(
      fc.asyncProperty(repeated, fc.nat(1000), async (rows, seed) => {
        const segment = segments.open({ definition: plain, signal: null })
        const slots = new RowSlots(8)
        for (let i = 0; i < rows.length; ) {
          const values = rows[i]!
          const range = chunkOf(values[1])
          const way = (seed + i * 7) % 3
          // rows without a null that follow each other in one chunk
          let end = i
          while (end < rows.length && !rows[end]!.includes(null) && chunkOf(rows[end]![1]) === range) end += 1
          if (way === 2 && end > i) {
            const some = rows.slice(i, end)
            const columns = values.map((_, c) =>
              c === 2
                ? { numbers: null, texts: some.map((each) => each[2]!) }
                : { numbers: Float64Array.from(some, (each) => Number(each[c])), texts: null },
            )
            expect(segment.addColumns(range, some.length, columns)).toBe(true)
            i = end
            continue
          }
          if (way === 1) {
            fill(slots, values)
            segment.addSlots(range, slots)
          } else segment.addRow(range, values)
          i += 1
        }
        expect(segment.rowCount).toBe(rows.length)
        const written = await segment.write()
        const files = createLakeFiles(parts)
        for (const range of ranges) {
          const own = rows.filter(([, time]) => chunkOf(time) === range)
          const found = written.filter((each) => each.range === range)
          expect(found).toHaveLength(own.length > 0 ? 1 : 0)
          if (own.length === 0) continue
          const { file } = found[0]!
          const expected = await hashRows(copyStream(plain, own), plain, null)
          expect({ rowCount: file.rowCount, contentHash: file.contentHash }).toEqual(expected)
          const times = own.map(([, time]) => time).sort((a, b) => (a < b ? -1 : 1))
          expect([file.minTime, file.maxTime]).toEqual([times[0], times.at(-1)])
          await files.verify({ definition: plain, file, signal: null })
        }
      }),
      { numRuns: 25, endOnFailure: true },
    )
  }, 60_000)

  it('beyond memory, in any order, and leaves nothing behind', async () => {
    const segment = segments.open({ definition: plain, signal: null })
    const many = 600_000
    const wide = 'a text that does not fit into its slot, so that memory is needed for it '.repeat(2)
    let peak = 0
    for (let i = 0; i < many; i += 1) {
      const time = start + ((BigInt(i) * 7919n * 60_000_000n) % (20n * day))
      segment.addRow(chunkAt(time), [null, time, wide, i, null, null, i, null])
      const relieved = i % 4096 === 0 ? segment.relieve() : null
      if (relieved !== null) await relieved
      if (i % 65_536 === 0) peak = Math.max(peak, process.memoryUsage().arrayBuffers)
    }
    expect(segment.bytes).toBeGreaterThan(100 * 1024 * 1024)
    const written = await segment.write()
    expect(written).toHaveLength(20)
    expect(written.reduce((sum, { file }) => sum + file.rowCount, 0)).toBe(many)
    expect(peak).toBeLessThan(400 * 1024 * 1024)
    const { rows } = await duckdb.query(
      { kind: 'sql', parts: [{ kind: 'text', text: 'select count(*) from duckdb_tables()' }] },
      null,
    )
    expect(rows).toEqual([[0n]])
    const left = (await readdir(join(dir, 'tmp'))).filter((name) => name !== 'spill')
    expect(left).toEqual([])
  }, 120_000)

  it('or none, when one of them cannot be written', async () => {
    const stop = new AbortController()
    const before = await paths()
    const segment = segments.open({ definition: plain, signal: stop.signal })
    for (let i = 0; i < 30_000; i += 1) {
      const time = start + BigInt(i % 3) * day
      segment.addRow(chunkOf(time), [null, time, `host ${i}`, i, null, null, i, null])
    }
    const writing = segment.write(({ stage, rows }) => {
      if (stage === 'write' && rows >= 10_000) stop.abort()
    })
    await expect(writing).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    expect(await paths()).toEqual(before)
  })

  /** What stops a write goes on interrupting its connection, and so what tidies up after it. */
  it('and says that it was stopped, also when its rows cannot be dropped, whose connection is not lent again', async () => {
    const own = createDuckDB({ threads: 1, memoryBytes: 256 * 1024 * 1024 })
    let drops = 0
    const unruly = (connection: DuckDBConnection): DuckDBConnection =>
      new Proxy(connection, {
        get(target, key) {
          if (key !== 'run') return bound(target, key)
          return async (text: string) => {
            if (!text.startsWith('drop table')) return target.run(text)
            drops += 1
            throw new Error('INTERRUPT Error: Interrupted!')
          }
        },
      })
    const options = {
      store: parts.store,
      duckdb: {
        ...own,
        withConnection: ((signal, use) =>
          own.withConnection(signal, (connection) => use(unruly(connection)))) as DuckDB['withConnection'],
      },
    }
    const before = await paths()
    const segment = createLakeSegments(options).open({ definition: plain, signal: null })
    for (let i = 0; i < 300; i += 1) {
      const time = start + BigInt(i % 3) * day
      segment.addRow(chunkOf(time), [null, time, `host ${i}`, i, null, null, i, null])
    }
    const problem = new TidemarkError('TM_CANCELLED', { what: 'the import' })
    const writing = segment.write(({ stage, rows }) => {
      if (stage === 'write' && rows >= 100) throw problem
    })
    // somebody else tidies up at the same moment, and it is done once
    await Promise.all([expect(writing).rejects.toBe(problem), segment.dispose(), segment.dispose()])
    expect(drops).toBe(1)
    expect(await paths()).toEqual(before)
    const { rows } = await own.query(raw('select count(*) from duckdb_tables()'), null)
    expect(rows).toEqual([[0n]])
    // and it ends: nothing is lent any more
    await own.close()
  })
})

function bound<T extends object>(target: T, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key)
  return typeof value === 'function' ? value.bind(target) : value
}

const dayRanges = new Map<bigint, TimeRange>()
function chunkAt(time: bigint): TimeRange {
  const number = (time - start) / day
  const range = dayRanges.get(number) ?? rangeOf(Number(number))
  dayRanges.set(number, range)
  return range
}

async function paths(): Promise<string[]> {
  const found: string[] = []
  for await (const { path } of parts.store.list('')) found.push(path)
  return found.filter((path) => !path.startsWith('tmp/spill')).sort()
}

describe('what has to be known of files before they count', () => {
  it('keys are equal as PostgreSQL holds them to be, in whatever way files have them', async () => {
    const numbers = hypertable('lake.numbers', {
      columns: { time: t.timestamptz(), n: t.numeric().nullable(), f: t.float8(), at: t.timestamptz() },
      time: 'time',
      chunk: '1 day',
    })
    const write = async (rows: readonly (readonly unknown[])[]) => {
      const segment = segments.open({ definition: numbers, signal: null })
      for (const values of rows) segment.addRow(ranges[0]!, values as never)
      return { file: (await segment.write())[0]!.file, deleted: [] as number[] }
    }
    const checks = createLoadChecks(parts)
    const shared = (
      files: { file: never; deleted: number[] }[],
      nullsDistinct = true,
      others: never[] = [],
    ) =>
      checks.findSharedKey({
        definition: numbers,
        columns: ['n', 'f', 'at', 'time'],
        nullsDistinct,
        files,
        others,
        signal: null,
      })
    const far = 9223372036854775807n
    const tidy = await write([[start, '1.50', 0, 0n].slice(0, 1).concat(['1.50', 0, 0n] as never) as never])
    const mixed = await write([
      [start, '1.5', -0, 0n],
      [start, '2.500', Number.NaN, 1n],
      [start, 'NaN', 1, far],
    ])
    expect(await shared([tidy] as never)).toBeNull()
    expect(await shared([mixed] as never)).toBeNull()
    expect(await shared([tidy, mixed] as never)).toContain('=(1.5, 0.0, ')
    expect(await shared([tidy, { ...mixed, deleted: await placesOf(mixed.file, 1.5) }] as never)).toBeNull()
    const nan = await write([[start, '2.5', Number.NaN, 1n]])
    expect(await shared([mixed, nan] as never)).toContain('=(2.5, ')
    const end = await write([[start, 'NaN', 1, far]])
    expect(await shared([mixed, end] as never)).toContain('=(NaN, 1.0, ')
    const none = await write([[start, null, 1, 0n]])
    expect(await shared([none, { ...none }] as never)).toBeNull()
    expect(await shared([none, { ...none }] as never, false)).toContain('=(null, ')
    const rows = hypertable('lake.rows', {
      columns: { n: t.numeric().nullable(), f: t.float8(), at: t.timestamptz(), time: t.timestamptz() },
      time: 'time',
      chunk: '1 day',
    })
    const others = [copyStream(rows, [['1.50000', 0, 0n, start]]), copyStream(rows, [])]
    expect(await shared([mixed] as never, true, others as never)).toContain('=(1.5, 0.0, ')
  })

  async function placesOf(file: { path: string }, n: number): Promise<number[]> {
    const local = await parts.store.localFile(file.path, null)
    const text = `select file_row_number from read_parquet('${local}', file_row_number = true) where n = '${n}'`
    const { rows } = await duckdb.query({ kind: 'sql', parts: [{ kind: 'text', text }] }, null)
    return rows.map(([place]) => Number(place))
  }

  it('touched cells are those of the rows, by tenant while there are few', async () => {
    const owned = hypertable('lake.owned', {
      columns: { time: t.timestamptz(), tenant: t.text() },
      time: 'time',
      tenant: 'tenant',
      chunk: '1 day',
    })
    const checks = createLoadChecks(parts)
    const cells = async (tenants: number) => {
      const segment = segments.open({ definition: owned, signal: null })
      for (let i = 0; i < 12_000; i += 1) {
        const time = -day + BigInt(i % 24) * 3_600_000_000n + 1n
        segment.addRow(before, [time, `t${i % tenants}`])
      }
      const files = (await segment.write()).map(({ file }) => file)
      return checks.touchedCells({ definition: owned, files, cellMicros: 3_600_000_000n, signal: null })
    }
    const before = { from: -day, to: 0n }
    const few = await cells(2)
    expect(few).toHaveLength(24)
    expect(new Set(few.map(({ tenant }) => tenant))).toEqual(new Set(['t0', 't1']))
    expect(few.every(({ start }) => start % 3_600_000_000n === 0n && start >= -day && start < 0n)).toBe(true)
    const many = await cells(12_000)
    expect(many).toHaveLength(24)
    expect(many.every(({ tenant }) => tenant === null)).toBe(true)
  })
})
