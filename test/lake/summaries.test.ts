import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AggregateState, type StateSpec, states } from '../../src/aggregate/index.ts'
import {
  createDuckDB,
  createFolderStore,
  createLakeFiles,
  type DuckDB,
  type LakeSummary,
  mergeSummaryColumn,
  type SummaryState,
  summarizedInput,
  summaryColumns,
  summaryStateColumns,
} from '../../src/lake/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { identifier, join, raw, type Sql, sql } from '../../src/util/sql.ts'
import { copyStream } from './lake-rows.ts'

const start = 1767225600000000n
const range = { from: start, to: start + 86_400_000_000n }
const hour = 3_600_000_000n

const cpu = hypertable('lake.cpu', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    host: t.text(),
    usage: t.float8().nullable(),
    count: t.int8(),
    price: t.numeric(10, 2),
    note: t.text().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  orderBy: ['host', 'time'],
  chunk: '1 day',
}) as HypertableDefinition

type CpuRow = readonly [bigint, string, string, number | null, bigint, string, string | null]
const cpuRow = (i: number): CpuRow => [
  start + BigInt(i) * 2_000_000n,
  `t${i % 2}`,
  `host_${i % 4}`,
  i % 11 === 0 ? null : Math.sin(i) * 100,
  BigInt(i) * 2n ** 45n,
  `${i}.25`,
  `a note that takes some room: ${i * 7919}`,
]

describe('the summary beside a file', () => {
  let dir: string
  let duckdb: DuckDB

  beforeAll(async () => {
    dir = await mkdtemp(joinPath(tmpdir(), 'tidemark-lake-'))
    duckdb = createDuckDB({ threads: 2 })
  })

  afterAll(async () => {
    await duckdb.close()
    await rm(dir, { recursive: true, force: true })
  })

  const open = (summaryShare: number) =>
    createLakeFiles({ duckdb, store: createFolderStore({ dir }), summaryShare })

  async function write(rows: readonly CpuRow[], summaryShare: number) {
    const written = await open(summaryShare).write({
      definition: cpu,
      range,
      rows: copyStream(cpu, rows),
      signal: null,
    })
    if (written === null) throw new Error('nothing was written')
    return written
  }

  const source = (path: string): Sql => raw(`read_parquet('${joinPath(dir, path)}')`)

  /** States of a column by tenant and host, from the summary alone. */
  async function fromSummary(summary: LakeSummary, spec: StateSpec, column: string) {
    const state = states[spec.kind].duckdb(spec)!
    if (state.shape !== 'columns') throw new Error(spec.kind)
    const { columns, read } = state.quick ?? state
    const width = columns({ value: identifier(column), time: null, filter: null }).length
    const kind = spec.kind as SummaryState
    const merged = summaryStateColumns(column, kind, width).map((name) =>
      mergeSummaryColumn(kind, identifier(name)),
    )
    const { rows } = await duckdb.query(
      sql`
        select tenant, host, ${join(merged, ', ')} from ${source(summary.path)} group by all order by all`,
      null,
    )
    return rows.map(([tenant, host, ...values]) => [tenant, host, read(values)] as const)
  }

  it('merges into the states of the rows themselves', async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => cpuRow(i))
    const written = await write(rows, 0.2)
    const summary = written.summary!
    expect(summary.layout).toEqual({
      version: 1,
      bucketMicros: String(hour),
      groups: ['tenant', 'host'],
      columns: Object.fromEntries(
        ['usage', 'count', 'price'].map((name) => [name, ['count', 'sum', 'min', 'max']]),
      ),
    })
    for (const column of ['usage', 'count', 'price'] as const)
      for (const kind of ['count', 'sum', 'min', 'max'] as const) {
        const spec: StateSpec = { kind, input: summarizedInput(written.layout, column), borders: null }
        const index = Object.keys(cpu.columns).indexOf(column)
        for (const [tenant, host, state] of await fromSummary(summary, spec, column)) {
          const expected = rows
            .filter((row) => row[1] === tenant && row[2] === host && row[index] !== null)
            .reduce<AggregateState>(
              (sum, row) => states[kind].add(sum, row[index] as number, null),
              states[kind].create(spec),
            )
          const [ours, theirs] = [state as AggregateState, expected]
          if (kind === 'sum' && column === 'usage') {
            const sums = [ours, theirs].map((one) => (one as { small: number }).small)
            expect(sums[0]).toBeCloseTo(sums[1]!, 6)
          } else expect(states[kind].encode(ours)).toEqual(states[kind].encode(theirs))
        }
      }
    const { rows: buckets } = await duckdb.query(
      sql`
        select ${identifier(summaryColumns.bucket)}, sum(${identifier(summaryColumns.rows)})::bigint
        from ${source(summary.path)} group by all order by all`,
      null,
    )
    const expected = new Map<bigint, bigint>()
    for (const [time] of rows) {
      const bucket = time - (time % hour)
      expected.set(bucket, (expected.get(bucket) ?? 0n) + 1n)
    }
    expect(buckets).toEqual([...expected])
  })

  it('stays within its share of the file: fewer groups, then wider buckets, then none; always by tenant', async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => cpuRow(i))
    let last = Number.POSITIVE_INFINITY
    const seen = new Set<string>()
    for (const share of [0.2, 0.05, 0.03, 0.02, 0.015, 0.01, 0.005, 0.001, 0]) {
      const written = await write(rows, share)
      const { summary } = written
      seen.add(
        summary === null ? 'none' : `${summary.layout.groups.join('+')} ${summary.layout.bucketMicros}`,
      )
      if (summary === null) continue
      expect(summary.bytes).toBeLessThanOrEqual(written.bytes * share)
      expect(summary.bytes).toBeLessThanOrEqual(last)
      expect(summary.layout.groups[0]).toBe('tenant')
      last = summary.bytes
    }
    expect(seen).toContain('none')
    expect(seen).toContain(`tenant+host ${hour}`)
    expect(seen.size).toBeGreaterThan(2)
  })

  it('is grouped by the same columns where the rows are sorted by time first', async () => {
    const byTime: HypertableDefinition = { ...cpu, orderBy: ['time', 'host'] }
    const written = await open(0.2).write({
      definition: byTime,
      range,
      rows: copyStream(
        byTime,
        Array.from({ length: 20_000 }, (_, i) => cpuRow(i)),
      ),
      signal: null,
    })
    expect(written?.layout.sortedBy).toEqual(['tenant', 'time', 'host'])
    expect(written?.summary?.layout.groups).toEqual(['tenant', 'host'])
  })

  it('has buckets from the epoch before 1970, too', async () => {
    const early = -hour * 24n
    const rows = Array.from({ length: 5000 }, (_, i): CpuRow => {
      const [, ...rest] = cpuRow(i)
      return [early + BigInt(i) * 10_000_000n + 1n, ...rest]
    })
    const written = await open(0.5).write({
      definition: cpu,
      range: { from: early, to: 0n },
      rows: copyStream(cpu, rows),
      signal: null,
    })
    const { rows: wrong } = await duckdb.query(
      sql`
        select count(*) from ${source(written!.summary!.path)}
        where epoch_us(${identifier(summaryColumns.bucket)}) % 3600000000 <> 0
          or ${identifier(summaryColumns.bucket)} < make_timestamptz(${raw(String(early))})`,
      null,
    )
    expect(wrong).toEqual([[0n]])
  })

  it('is made anew under another path, and readers that look for data files do not take it for one', async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => cpuRow(i))
    const written = await write(rows, 0.2)
    const again = await open(0.2).summarize({ definition: cpu, file: written, signal: null })
    expect(again!.layout).toEqual(written.summary!.layout)
    expect(again!.path).not.toBe(written.summary!.path)
    const name = again!.path.split('/').at(-1)!
    expect(name.startsWith('_')).toBe(true)
    expect(name.endsWith('.parquet')).toBe(false)
  })
})
