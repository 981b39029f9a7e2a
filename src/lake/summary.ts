import { randomUUID } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import type { DuckDBConnection } from '@duckdb/node-api'
import {
  type EngineState,
  type InputType,
  maxDuckDBDigits,
  type StateSpec,
  states,
} from '../aggregate/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { boundMicros } from '../time/index.ts'
import { identifier, join, printSqlInline, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'
import type { FileLayout, LakeFilesOptions, LakeSummary, SummaryLayout, SummaryState } from './contract.ts'
import type { DuckDB } from './duckdb.ts'
import { sha256 } from './file-digest.ts'
import { summaryPathFor } from './file-paths.ts'
import { pathLiteral } from './literal-sql.ts'

/**
 * Partial states of a file's numbers, for each bucket and value of the leading sort columns: a Parquet file beside it.
 *
 * | column | type | holds |
 * | --- | --- | --- |
 * | `$bucket` | TIMESTAMPTZ | start of the bucket |
 * | `$rows` | BIGINT | count of rows |
 * | a group column | its own | |
 * | `<column>$<kind><i>` | as DuckDB computes it, sums of integers DECIMAL(38, 0) | the i-th column of `states[kind].duckdb`, of its `quick` where it has one |
 *
 * Columns of `count` and `sum` merge by `sum`, of `min` by `min`, of `max` by `max`; what comes out is what the state's `read`
 * takes, that of `quick` where it has one: null says that the rows themselves have to be asked. Sorted by groups, then
 * bucket.
 */
export const summaryColumns = Object.freeze({ bucket: '$bucket', rows: '$rows' })

/** The kinds that summaries keep, each of numeric columns. */
export const summaryKinds: readonly SummaryState[] = ['count', 'sum', 'min', 'max']

/** Names of the columns that hold a state, in the order in which `states[kind].duckdb` makes them. */
export function summaryStateColumns(column: string, kind: SummaryState, width: number): readonly string[] {
  return Array.from({ length: width }, (_, i) => `${column}$${kind}${i}`)
}

/** How a state's columns of several summary rows become one. */
export function mergeSummaryColumn(kind: SummaryState, column: Sql): Sql {
  if (kind === 'min') return sql`min(${column})`
  if (kind === 'max') return sql`max(${column})`
  // an empty sum is null in SQL; a count is not
  return kind === 'count' ? sql`coalesce(sum(${column}), 0)` : sql`sum(${column})`
}

/** The DuckDB type of a column that is summarized, as the algebra names it; null: it is not. */
export function summarizedInput(layout: FileLayout, column: string): InputType | null {
  const found = Object.hasOwn(layout.columns, column) ? layout.columns[column]! : null
  if (found === null) return null
  switch (found.type) {
    case 'int2':
    case 'int4':
    case 'int8':
    case 'float4':
    case 'float8':
      return found.type
    case 'numeric':
      return found.kind === 'decimal' && found.precision <= maxDuckDBDigits ? 'numeric' : null
    default:
      return null
  }
}

export const defaultSummaryShare = 0.03

/** A summary has to be this much smaller than its file in rows, or it is of no use. */
const leastReduction = 4

const second = 1_000_000n
const hour = 3600n * second
const bucketWidths = [60n * second, 300n * second, 900n * second, hour, 6n * hour, 24n * hour]

export interface SummaryRequest {
  readonly duckdb: DuckDB
  readonly store: LakeFilesOptions['store']
  readonly summaryShare?: number
  readonly definition: HypertableDefinition
  readonly localFile: string
  /** Of the data file in the store. */
  readonly dataPath: string
  readonly layout: FileLayout
  readonly signal: AbortSignal | null
}

/** A summary that is written and not yet in the store. */
export interface DraftSummary {
  readonly localFile: string
  readonly path: string
  readonly bytes: number
  readonly checksum: Uint8Array
  readonly layout: SummaryLayout
}

/** Null when none is within the budget. */
export async function draftSummary(request: SummaryRequest): Promise<DraftSummary | null> {
  const { duckdb, definition, layout, signal } = request
  const share = request.summaryShare ?? defaultSummaryShare
  if (share <= 0) return null
  const groups = groupColumns(definition, layout)
  const inputs = Object.keys(layout.columns)
    .map((name) => ({ name, input: summarizedInput(layout, name) }))
    .filter((column): column is Measure => column.input !== null && !groups.includes(column.name))
  if (!namesAreFree(groups, inputs)) return null
  const dataBytes = (await stat(request.localFile)).size
  const budget = dataBytes * share
  const source = raw(`read_parquet(${pathLiteral(request.localFile)}, hive_partitioning = false)`)
  return duckdb.withConnection(signal, async (connection) => {
    for (const candidate of candidates(definition, groups)) {
      const bucket = bucketOf(definition.time, candidate.bucketMicros)
      const keys = [...candidate.groups.map((name) => identifier(name)), bucket]
      const { cells, rows } = await countCells(connection, source, keys)
      // a cell costs more than a byte in every measured case
      if (cells * leastReduction > rows || cells > budget) continue
      const draft = await writeDraft(connection, request, source, candidate, inputs)
      if (draft.bytes <= budget) return draft
      await rm(draft.localFile, { force: true })
    }
    return null
  })
}

/** Into the store, beside the file. */
export async function storeSummary(
  request: SummaryRequest,
  draft: DraftSummary | null,
): Promise<LakeSummary | null> {
  if (draft === null) return null
  try {
    await request.store.put(draft.localFile, draft.path, request.signal)
  } finally {
    await rm(draft.localFile, { force: true })
  }
  const { path, bytes, checksum, layout } = draft
  return { path, bytes, checksum, layout }
}

interface Measure {
  readonly name: string
  readonly input: InputType
}

interface Candidate {
  readonly groups: readonly string[]
  readonly bucketMicros: bigint
}

/** The longest prefix of tenant and orderBy, time left out, whose values can be keys. */
function groupColumns(definition: HypertableDefinition, layout: FileLayout): string[] {
  const groups: string[] = []
  for (const name of layout.sortedBy) {
    if (name === definition.time) continue
    const { kind, type } = layout.columns[name]!
    // doubles are no keys: -0 and 0 are equal and differ
    if (kind !== 'native' || type === 'float4' || type === 'float8') break
    groups.push(name)
  }
  return groups
}

/** An hour, or for short chunks what gives them a dozen buckets; fewer groups first, then wider buckets. */
function* candidates(definition: HypertableDefinition, groups: readonly string[]): Generator<Candidate> {
  const twelfth = boundMicros(definition.chunk).least / 12n
  const first = bucketWidths.filter((width) => width <= hour && width <= twelfth).at(-1) ?? bucketWidths[0]!
  // without the tenant a summary could answer nobody
  const fewest = definition.tenant === null ? 0 : 1
  for (const bucketMicros of bucketWidths.filter((width) => width >= first && width <= twelfth * 12n))
    for (let count = groups.length; count >= fewest; count -= 1)
      yield { groups: groups.slice(0, count), bucketMicros }
}

/** From the epoch, as fixed buckets are; integers, because DuckDB buckets instants through its time zones. */
function bucketOf(time: string, micros: bigint): Sql {
  const at = sql`epoch_us(${identifier(time)})`
  const width = raw(String(micros))
  return sql`make_timestamptz(${at} - ((${at} % ${width}) + ${width}) % ${width})`
}

async function countCells(
  connection: DuckDBConnection,
  source: Sql,
  keys: readonly Sql[],
): Promise<{ cells: number; rows: number }> {
  const list = join(keys, ', ')
  const statement = sql`
    select count(*), coalesce(sum(n), 0)::bigint
    from (select count(*) as n from ${source} group by ${list})`
  const [row] = (await connection.runAndReadAll(printSqlInline(statement))).getRows()
  return { cells: Number(row![0]), rows: Number(row![1]) }
}

function statesOf({ name, input }: Measure): { kind: SummaryState; columns: readonly Sql[] }[] {
  return summaryKinds.flatMap((kind) => {
    const spec: StateSpec = { kind, input, borders: null }
    const state: EngineState | null = states[kind].duckdb(spec)
    if (state === null || state.shape !== 'columns') return []
    const { columns } = state.quick ?? state
    return [{ kind, columns: columns({ value: identifier(name), time: null, filter: null }) }]
  })
}

async function writeDraft(
  connection: DuckDBConnection,
  request: SummaryRequest,
  source: Sql,
  { groups, bucketMicros }: Candidate,
  measures: readonly Measure[],
): Promise<DraftSummary> {
  const bucket = sql`${bucketOf(request.definition.time, bucketMicros)} as ${identifier(summaryColumns.bucket)}`
  const columns: Record<string, readonly SummaryState[]> = {}
  const values: { name: string; value: Sql }[] = []
  for (const measure of measures) {
    const kept = statesOf(measure)
    columns[measure.name] = kept.map(({ kind }) => kind)
    for (const { kind, columns: made } of kept) {
      const names = summaryStateColumns(measure.name, kind, made.length)
      made.forEach((value, i) => {
        values.push({ name: names[i]!, value })
      })
    }
  }
  const keys = join([...groups.map((name) => identifier(name)), bucket], ', ')
  const grouped = (select: readonly { name: string; value: Sql }[]): Sql => {
    const aggregates = select.map(({ name, value }) => sql`, ${value} as ${identifier(name)}`)
    return sql`
      select ${keys}, count(*) as ${identifier(summaryColumns.rows)}${join(aggregates, '')}
      from ${source}
      group by all`
  }
  // DuckDB would write a HUGEINT as a double
  const described = await connection.runAndReadAll(printSqlInline(sql`describe ${grouped(values)}`))
  const types = new Map(described.getRowObjects().map((row) => [row['column_name'], row['column_type']]))
  const typed = values.map(({ name, value }) =>
    types.get(name) === 'HUGEINT' ? { name, value: sql`(${value})::decimal(38, 0)` } : { name, value },
  )
  const localFile = await request.store.temporaryFile()
  try {
    const layout: SummaryLayout = { version: 1, bucketMicros: String(bucketMicros), groups, columns }
    const order = join(
      [...groups, summaryColumns.bucket].map((name) => sql`${identifier(name)} asc nulls last`),
      ', ',
    )
    await connection.run(
      printSqlInline(sql`
        copy (${grouped(typed)} order by ${order})
        to ${raw(
          `${quoteLiteral(localFile)} (format parquet, parquet_version v2, compression zstd, compression_level 12, ` +
            `kv_metadata { tidemark_summary: ${quoteLiteral(JSON.stringify(layout))} })`,
        )}`),
    )
    return {
      localFile,
      path: summaryPathFor(request.dataPath, randomUUID()),
      bytes: (await stat(localFile)).size,
      checksum: await sha256(localFile, request.signal),
      layout,
    }
  } catch (error) {
    await rm(localFile, { force: true })
    throw error
  }
}

/** A declared name may look like one of ours. */
function namesAreFree(groups: readonly string[], measures: readonly Measure[]): boolean {
  const names = [
    ...Object.values(summaryColumns),
    ...groups,
    ...measures.flatMap((measure) =>
      statesOf(measure).flatMap(({ kind, columns }) =>
        summaryStateColumns(measure.name, kind, columns.length),
      ),
    ),
  ].map((name) => name.toLowerCase())
  return new Set(names).size === names.length
}
