import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parquetMetadata, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createDuckDB,
  createFolderStore,
  createLakeFiles,
  type DuckDB,
  type LakeFiles,
} from '../../src/lake/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { copyStream } from './lake-rows.ts'

const start = 1767225600000000n
const definition = hypertable('lake.open', {
  columns: {
    time: t.timestamptz(),
    seen: t.timestamptz().nullable(),
    day: t.date().nullable(),
    host: t.text(),
    id: t.uuid(),
    ok: t.bool().nullable(),
    small: t.int2(),
    count: t.int4().nullable(),
    big: t.int8(),
    ratio: t.float4(),
    usage: t.float8().nullable(),
    price: t.numeric(10, 2),
    loose: t.numeric(),
    doc: t.jsonb().nullable(),
    tags: t.textArray().nullable(),
  },
  time: 'time',
  orderBy: ['host', 'time'],
  chunk: '1 day',
}) as HypertableDefinition

const uuid = (i: number): string => `${String(i).padStart(8, '0')}-0000-4000-8000-0123456789ab`
const values = (i: number) => ({
  time: start + BigInt(i) * 1_000_001n,
  seen: i % 4 === 0 ? null : start - BigInt(i),
  day: i % 3 === 0 ? null : `2026-01-${String(1 + (i % 28)).padStart(2, '0')}`,
  host: `host_${String(i % 3)}${i % 2 ? '' : ' with a long name'}`,
  id: uuid(i),
  ok: i % 5 === 0 ? null : i % 2 === 0,
  small: i - 3000,
  count: i % 7 === 0 ? null : i * 1000,
  big: 9_007_199_254_740_993n + BigInt(i),
  ratio: i / 8,
  usage: i % 9 === 0 ? null : i / 3,
  price: `${i}.05`,
  loose: i % 2 === 0 ? '1.50' : '2',
  doc: i % 6 === 0 ? null : `{"n": ${i}, "list": [${i}], "plan": "p${i % 2}"}`,
  tags: i % 8 === 0 ? null : i % 8 === 1 ? [] : ['a', null, `tag ${i} of more than twelve bytes`],
})
const count = 5000
const all = Array.from({ length: count }, (_, i) => values(i))

describe('a file is plain Parquet: another reader, that knows nothing of tidemark,', () => {
  let dir: string
  let duckdb: DuckDB
  let files: LakeFiles
  let file: ArrayBuffer

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'tidemark-lake-'))
    duckdb = createDuckDB({ threads: 2 })
    files = createLakeFiles({ duckdb, store: createFolderStore({ dir }) })
    const written = await files.write({
      definition,
      range: { from: start, to: start + 86_400_000_000n },
      rows: copyStream(
        definition,
        all.map((row) => Object.values(row)),
      ),
      signal: null,
    })
    const bytes = await readFile(join(dir, written!.path))
    file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer
  })

  afterAll(async () => {
    await duckdb.close()
    await rm(dir, { recursive: true, force: true })
  })

  it('gets the same values', async () => {
    const rows = await parquetReadObjects({
      file,
      compressors,
      parsers: {
        timestampFromMilliseconds: (millis) => millis * 1000n,
        timestampFromMicroseconds: (micros) => micros,
        timestampFromNanoseconds: (nanos) => nanos / 1000n,
        dateFromDays: (days) => new Date(days * 86_400_000).toISOString().slice(0, 10),
        stringFromBytes: (bytes) => new TextDecoder().decode(bytes),
      },
    } as Parameters<typeof parquetReadObjects>[0])
    expect(rows).toHaveLength(count)
    const found = rows.sort((a, b) => Number(a['time'] - b['time']))
    found.forEach((row, i) => {
      const { price, doc, ...plain } = all[i]!
      const { price: theirPrice, doc: theirRest, ...theirs } = row
      const { 'doc.n': n, 'doc.plan': plan, ...rest } = theirs
      // it has undefined for a list that is null
      expect({ ...rest, tags: rest['tags'] ?? null }).toEqual(plain)
      expect(theirPrice).toBeCloseTo(Number(price), 6)
      const document = typeof theirRest === 'string' ? JSON.parse(theirRest) : theirRest
      if (doc === null) expect([theirRest, n, plan]).toEqual([null, null, null])
      else expect({ n, plan, ...document }).toEqual(JSON.parse(doc))
    })
  })

  it('finds how the columns lie in the file itself', () => {
    const metadata = parquetMetadata(file)
    const noted = metadata.key_value_metadata?.find(({ key }) => key === 'tidemark')?.value
    expect(JSON.parse(noted!)).toMatchObject({ version: 1, time: 'time', sortedBy: ['host', 'time'] })
    const types = Object.fromEntries(
      metadata.schema
        .slice(1)
        .map(({ name, logical_type: type, converted_type: older }) => [name, type?.type ?? older ?? null]),
    )
    expect(types).toMatchObject({
      time: 'TIMESTAMP',
      host: 'UTF8',
      id: 'UUID',
      price: 'DECIMAL',
      day: 'DATE',
    })
  })
})
