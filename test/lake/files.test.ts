import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createDuckDB,
  createFolderStore,
  createLakeFiles,
  type DuckDB,
  hashRows,
  type LakeFiles,
  type ObjectStore,
  type WrittenFile,
} from '../../src/lake/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { collect, copyStream, rowsOf } from './lake-rows.ts'

const start = 1767225600000000n
const range = { from: start, to: start + 86_400_000_000n }

const table = (columns: Record<string, ReturnType<typeof t.text> | unknown> = {}): HypertableDefinition =>
  hypertable('lake.cpu', {
    columns: {
      time: t.timestamptz(),
      host: t.text(),
      usage: t.float8().nullable(),
      note: t.text().nullable(),
      ...(columns as Record<string, never>),
    },
    time: 'time',
    orderBy: ['host', 'time'],
    chunk: '1 day',
  }) as HypertableDefinition
const cpu = table()

const row = (i: number): unknown[] => [
  start + BigInt(i) * 1_000_000n,
  `host_${i % 7}`,
  i % 5 === 0 ? null : i / 4,
  i % 3 === 0 ? `a note that is longer than twelve bytes: ${i}` : null,
]
const rows = (count: number): unknown[][] => Array.from({ length: count }, (_, i) => row(i))

let dir: string
let duckdb: DuckDB
let store: ObjectStore
let files: LakeFiles

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tidemark-lake-'))
  duckdb = createDuckDB({ threads: 2, memoryBytes: 512 * 1024 * 1024 })
  store = createFolderStore({ dir })
  files = createLakeFiles({ duckdb, store })
})

afterAll(async () => {
  await duckdb.close()
  await rm(dir, { recursive: true, force: true })
})

async function write(count: number, definition = cpu): Promise<WrittenFile> {
  const written = await files.write({
    definition,
    range,
    rows: copyStream(definition, rows(count)),
    signal: null,
  })
  if (written === null) throw new Error('nothing was written')
  return written
}

const read = (file: WrittenFile, choice: Parameters<LakeFiles['rows']>[0]['choice'], definition = cpu) =>
  collect(files.rows({ definition, file, choice, signal: null }))

const left = (): string[] => readdirSync(join(dir, 'tmp'))

describe('a file', () => {
  it('is described by what lifecycle has to note of it', async () => {
    const written = await write(10_000)
    expect(written).toMatchObject({
      rowCount: 10_000,
      minTime: start,
      maxTime: start + 9_999_000_000n,
      layout: { order: ['time', 'host', 'usage', 'note'], sortedBy: ['host', 'time'], time: 'time' },
      stats: { host: { min: 'host_0', max: 'host_6', hasNull: false } },
    })
    expect(written.path).toMatch(/^lake\.cpu\/2026-01-01T000000Z\/[0-9a-f-]{36}\.parquet$/)
    expect(written.bytes).toBe((await store.stat(written.path))!.bytes)
    const hashed = await hashRows(copyStream(cpu, rows(10_000).reverse()), cpu, null)
    expect(hashed).toEqual({ rowCount: 10_000, contentHash: written.contentHash })
    expect(left()).toEqual([])
  })

  it('is sorted by its columns, nulls last', async () => {
    const definition = { ...cpu, orderBy: ['note', 'usage'] }
    const written = await write(5000, definition)
    const { rows: found } = await duckdb.query(
      sql`
        select count(*) from (
          select
            row(note, usage, time) as key, file_row_number as place,
            row_number() over (order by note nulls last, usage nulls last, time) - 1 as expected
          from ${raw(`read_parquet('${join(dir, written.path)}', file_row_number = true)`)}
        ) where place <> expected`,
      null,
    )
    expect(found).toEqual([[0n]])
  })

  it('of no rows is not written', async () => {
    expect(await files.write({ definition: cpu, range, rows: copyStream(cpu, []), signal: null })).toBeNull()
    expect(left()).toEqual([])
  })

  it('gives all rows, some, or all but some, whatever their places', async () => {
    const written = await write(6000)
    const all = rowsOf(await read(written, { kind: 'all' }))
    expect([...all].sort()).toEqual(rowsOf(Buffer.concat(copyStream(cpu, rows(6000)))).sort())
    const places = fc.uniqueArray(fc.integer({ min: 0, max: 5999 }), { maxLength: 1500 })
    const edges = fc.constantFrom([], [0], [5999], [2047, 2048], [0, 1, 2, 5998, 5999], [...all.keys()])
    await fc.assert(
      fc.asyncProperty(fc.oneof(places, edges), async (chosen) => {
        const positions = [...chosen].sort((a, b) => a - b)
        const isChosen = new Set(positions)
        expect(rowsOf(await read(written, { kind: 'only', positions }))).toEqual(
          all.filter((_, i) => isChosen.has(i)),
        )
        expect(
          rowsOf(await read(written, { kind: 'without', positions: Float64Array.from(positions) })),
        ).toEqual(all.filter((_, i) => !isChosen.has(i)))
      }),
      { numRuns: 12 },
    )
  })

  it('has null in columns that were declared later, and is verified all the same', async () => {
    const written = await write(100)
    const later = table({ added: t.int4().nullable(), more: t.jsonb().nullable() })
    const expected = copyStream(
      later,
      rows(100).map((values) => [...values, null, null]),
    )
    expect(rowsOf(await read(written, { kind: 'all' }, later)).sort()).toEqual(
      rowsOf(Buffer.concat(expected)).sort(),
    )
    await files.verify({ definition: later, file: written, signal: null })
  })

  it('is read back with a layout that has been through jsonb, which sorts its keys', async () => {
    const written = await write(100)
    const columns = Object.fromEntries(Object.entries(written.layout.columns).reverse())
    await files.verify({
      definition: cpu,
      file: { ...written, layout: { ...written.layout, columns } },
      signal: null,
    })
  })

  it('is refused when a column has another type now', async () => {
    const written = await write(10)
    const changed = {
      ...cpu,
      columns: { ...cpu.columns, usage: { ...cpu.columns['usage']!, type: 'int8' as const } },
    }
    await expect(read(written, { kind: 'all' }, changed)).rejects.toMatchObject({
      code: 'TM_LAKE',
      message: expect.stringMatching(/"usage" is float8, and is declared as int8/),
    })
  })
})

describe('writing', () => {
  it('goes on beyond one batch, in bounded memory, and spills', async () => {
    const limit = 128
    const small = createDuckDB({
      threads: 1,
      memoryBytes: limit * 1024 * 1024,
      temporaryDir: join(dir, 'spill'),
    })
    const wide = table(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`v${i}`, t.float8()])))
    const batch = 20_000
    const batches = 40
    const values = Array.from({ length: batch }, (_, i) => [
      ...row((i * 7919) % 80_000),
      ...Array.from({ length: 20 }, (_, v) => Math.sin(i + v)),
    ])
    const bytes = Buffer.concat(copyStream(wide, values))
    async function* source(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < batches; i += 1)
        yield new Uint8Array(
          bytes.subarray(i === 0 ? 0 : 19, i + 1 < batches ? bytes.length - 2 : bytes.length),
        )
    }
    const before = process.memoryUsage().rss
    let peak = before
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss)
    }, 20)
    try {
      const written = await createLakeFiles({ duckdb: small, store, summaryShare: 0 }).write({
        definition: wide,
        range,
        rows: source(),
        signal: null,
      })
      expect(written!.rowCount).toBe(batch * batches)
      // 220 MB as COPY sends them; held: DuckDB's limit, two batches of 64 MB, and garbage not yet collected
      expect((peak - before) / 1024 / 1024).toBeLessThan(limit + 400)
    } finally {
      clearInterval(watch)
      await small.close()
    }
  }, 90_000)

  it('stops when its signal is aborted, in whatever stage, and leaves nothing', async () => {
    const stages = new Set<string>()
    for (const stage of ['read', 'write', 'verify'] as const) {
      const controller = new AbortController()
      const before = await count(store, 'lake.cpu/')
      const writing = files.write({
        definition: cpu,
        range,
        rows: copyStream(cpu, rows(60_000)),
        signal: controller.signal,
        onProgress: (progress) => {
          stages.add(progress.stage)
          if (progress.stage === stage) controller.abort()
        },
      })
      await expect(writing).rejects.toMatchObject({ code: 'TM_CANCELLED' })
      expect(await count(store, 'lake.cpu/')).toBe(before)
      expect(left()).toEqual([])
    }
    expect([...stages]).toEqual(['read', 'write', 'verify'])
    // the connections that were interrupted are good for more
    await write(10)
  })

  it('passes on what goes wrong with the rows, and leaves nothing', async () => {
    // biome-ignore lint/correctness/useYield: it fails before
    async function* failing(): AsyncGenerator<Uint8Array> {
      throw new Error('the server has gone')
    }
    await expect(
      files.write({ definition: cpu, range, rows: failing(), signal: null }),
    ).rejects.toMatchObject({
      code: 'TM_LAKE',
      message: expect.stringContaining('the server has gone'),
    })
    expect(left()).toEqual([])
  })

  it('refuses bytes that are no such rows', async () => {
    const good = Buffer.concat(copyStream(cpu, rows(3)))
    const other = table({ more: t.int4() })
    for (const [bytes, problem] of [
      [good.subarray(0, good.length - 2), 'ends in the middle'],
      [good.subarray(0, good.length - 20), 'ends in the middle'],
      [Buffer.concat([good, good]), 'goes on behind its end'],
      [Buffer.from('a;b;c\n1;2;3\n and more text than a header has'), 'does not begin as COPY BINARY does'],
      [Buffer.concat(copyStream(other, [[...row(1), 1]])), 'a row has 5 fields, not 4'],
      [Buffer.alloc(0), 'ends in the middle'],
    ] as const)
      await expect(
        files.write({ definition: cpu, range, rows: [new Uint8Array(bytes)], signal: null }),
      ).rejects.toMatchObject({ code: 'TM_LAKE', message: expect.stringContaining(problem) })
    expect(left()).toEqual([])
  })

  it('takes a stream however it is cut', async () => {
    const whole = Buffer.concat(copyStream(cpu, rows(300)))
    const expected = await hashRows([new Uint8Array(whole)], cpu, null)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1 }), async (cuts) => {
        const pieces: Uint8Array[] = []
        for (let at = 0, i = 0; at < whole.length; i += 1) {
          const size = cuts[i % cuts.length]!
          pieces.push(new Uint8Array(whole.subarray(at, at + size)))
          at += size
        }
        expect(await hashRows(pieces, cpu, null)).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })

  it('refuses rows outside of the chunk', async () => {
    const outside = copyStream(cpu, [row(1), [range.to, 'h', 1, null]])
    await expect(files.write({ definition: cpu, range, rows: outside, signal: null })).rejects.toMatchObject({
      code: 'TM_LAKE',
      message: expect.stringContaining('outside of its chunk'),
    })
  })

  it('refuses column names that a file cannot tell apart', async () => {
    const twice = table({ Host: t.text() })
    await expect(
      files.write({ definition: twice, range, rows: copyStream(twice, []), signal: null }),
    ).rejects.toMatchObject({ code: 'TM_LAKE', message: expect.stringContaining('"host" and "Host"') })
  })

  it('refuses a column with the name that DuckDB has for places, as long as nothing is in a file', async () => {
    const taken = table({ File_Row_Number: t.int4() })
    await expect(
      files.write({ definition: taken, range, rows: copyStream(taken, []), signal: null }),
    ).rejects.toMatchObject({ code: 'TM_LAKE', message: expect.stringContaining('"File_Row_Number"') })
  })

  it('writes several files at once', async () => {
    const written = await Promise.all(Array.from({ length: 5 }, (_, i) => write(1000 + i)))
    expect(written.map(({ rowCount }) => rowCount)).toEqual([1000, 1001, 1002, 1003, 1004])
    for (const file of written) await files.verify({ definition: cpu, file, signal: null })
  })
})

describe('verifying', () => {
  it('finds a changed byte, a file that is gone, and rows that are others', async () => {
    const written = await write(1000)
    const local = join(dir, written.path)
    const verify = (file: WrittenFile) => files.verify({ definition: cpu, file, signal: null })
    await verify(written)
    await expect(verify({ ...written, contentHash: new Uint8Array(16) })).rejects.toMatchObject({
      code: 'TM_LAKE',
      message: expect.stringContaining('its rows are not those'),
    })
    await expect(verify({ ...written, rowCount: 999 })).rejects.toMatchObject({
      message: expect.stringContaining('1000 rows, not 999'),
    })
    const bytes = await readFile(local)
    bytes[200]! ^= 1
    await rm(local)
    await writeFile(local, bytes)
    await expect(verify(written)).rejects.toMatchObject({
      code: 'TM_LAKE',
      message: expect.stringContaining('checksum'),
    })
    await rm(local)
    await expect(verify(written)).rejects.toMatchObject({ code: 'TM_LAKE' })
    await expect(read(written, { kind: 'all' })).rejects.toMatchObject({ code: 'TM_LAKE' })
    expect(existsSync(local)).toBe(false)
  })
})

describe('reading', () => {
  it('stops when its signal is aborted, and when nobody reads on', async () => {
    const written = await write(20_000)
    const controller = new AbortController()
    const reading = files.rows({
      definition: cpu,
      file: written,
      choice: { kind: 'all' },
      signal: controller.signal,
    })
    await reading.next()
    await reading.next()
    controller.abort()
    await expect(collect(reading)).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    const first = files.rows({ definition: cpu, file: written, choice: { kind: 'all' }, signal: null })
    await first.next()
    await first.next()
    await first.return(undefined)
    expect(rowsOf(await read(written, { kind: 'all' }))).toHaveLength(20_000)
  })
})

async function count(of: ObjectStore, prefix: string): Promise<number> {
  let found = 0
  for await (const _ of of.list(prefix)) found += 1
  return found
}
