import { type EngineState, states } from '../aggregate/index.ts'
import { everything, type ScanRequest, type StateRequest } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { floorDivide, type Instant, type TimeRange } from '../time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { bucketSql } from './bucket-sql.ts'
import { type Cells, tooManyCells } from './cells.ts'
import type { LakeFile, SummaryState } from './contract.ts'
import { plainValues } from './duckdb.ts'
import { type FileScope, groupByLayout } from './file-scope.ts'
import { filterToDuckDB } from './filter-sql.ts'
import { scanHeldSummaries } from './held-summaries.ts'
import { instantLiteral, pathLiteral } from './literal-sql.ts'
import { askFiles, type LakeAccess } from './read-files.ts'
import { namesInFilter } from './scan-rows.ts'
import { mergeSummaryColumn, summaryColumns, summaryStateColumns } from './summary.ts'
import type { SummarizedFile } from './summary-memory.ts'

/** Buckets of summaries that are read together. */
export interface SummaryQuestion {
  readonly request: ScanRequest
  readonly scope: FileScope
  readonly files: readonly SummarizedFile[]
  /** Only buckets that begin in it; null: all of them. */
  readonly range: TimeRange | null
}

/** Which part of a scan comes from where. */
export interface ScanParts {
  readonly summaries: readonly SummaryQuestion[]
  readonly rows: readonly { readonly files: readonly LakeFile[]; readonly range: TimeRange | null }[]
}

/**
 * What summaries can answer: files of which no row is deleted, when groups and filters are among the columns that summaries
 * are grouped by, the states are kept, and each bucket of a summary lies in one bucket of the request. Of a file that
 * the range cuts, the whole buckets come from the summary when they are three quarters of it, and the rows of its edges from the file.
 */
export function partsOfScan(
  request: ScanRequest,
  dataset: HypertableDefinition,
  files: readonly LakeFile[],
): ScanParts {
  const range = request.range ?? everything
  const inside: SummarizedFile[] = []
  const cut = new Map<bigint, SummarizedFile[]>()
  const rows: LakeFile[] = []
  const edges: { readonly files: LakeFile[]; readonly range: TimeRange }[] = []
  for (const file of files) {
    if (!canAnswer(request, file)) {
      rows.push(file)
      continue
    }
    if (file.minTime >= range.from && file.maxTime < range.to) {
      inside.push(file)
      continue
    }
    const width = BigInt(file.summary.layout.bucketMicros)
    const whole = wholeBuckets(range, width)
    const there = length(clip(range, file))
    if (length(clip(whole, file)) * 4n < there * 3n) {
      rows.push(file)
      continue
    }
    const known = cut.get(width)
    if (known) known.push(file)
    else cut.set(width, [file])
  }
  const summaries = groupsOf(request, dataset, inside, null)
  for (const [width, some] of cut) {
    const whole = wholeBuckets(range, width)
    summaries.push(...groupsOf(request, dataset, some, whole))
    edges.push(
      {
        files: some.filter((file) => file.minTime < whole.from),
        range: { from: range.from, to: whole.from },
      },
      { files: some.filter((file) => file.maxTime >= whole.to), range: { from: whole.to, to: range.to } },
    )
  }
  const ofEdges = edges.filter((edge) => edge.files.length > 0 && edge.range.from < edge.range.to)
  return {
    summaries,
    rows: rows.length === 0 ? ofEdges : [{ files: rows, range: request.range }, ...ofEdges],
  }
}

function wholeBuckets({ from, to }: TimeRange, width: bigint): TimeRange {
  return { from: -floorDivide(-from, width) * width, to: floorDivide(to, width) * width }
}

function clip(range: TimeRange, file: LakeFile): TimeRange {
  return {
    from: range.from > file.minTime ? range.from : file.minTime,
    to: range.to < file.maxTime + 1n ? range.to : file.maxTime + 1n,
  }
}

function length({ from, to }: TimeRange): bigint {
  return to > from ? to - from : 0n
}

function canAnswer(request: ScanRequest, file: LakeFile): file is SummarizedFile {
  const { summary } = file
  if (summary?.layout.version !== 1 || file.deletedRows > 0) return false
  const { groups, columns, bucketMicros } = summary.layout
  const isGroup = (name: string): boolean => groups.includes(name)
  const hasState = ({ spec, ref, where }: StateRequest): boolean => {
    if (where !== null) return false
    if (ref === null) return spec.kind === 'count'
    const kept = Object.hasOwn(columns, ref.column) ? columns[ref.column]! : []
    return ref.path.length === 0 && (kept as readonly string[]).includes(spec.kind)
  }
  if (!request.states.every(hasState)) return false
  if (!request.by.every(({ ref }) => ref.path.length === 0 && isGroup(ref.column))) return false
  if (request.where) {
    const names = new Set<string>()
    namesInFilter(request.where, names)
    if (![...names].every(isGroup)) return false
  }
  return isAligned(request, BigInt(bucketMicros), file)
}

function isAligned({ bucket }: ScanRequest, width: bigint, file: LakeFile): boolean {
  if (bucket === null) return true
  if (bucket.kind === 'fixed') return bucket.width % width === 0n && bucket.origin % width === 0n
  const ends = bucket.borders
  // a row outside of all buckets belongs to none of them
  if (ends.length < 2 || ends[0]! > file.minTime || ends.at(-1)! <= file.maxTime) return false
  // the first bucket of the summary begins before the first row
  const first = floorDivide(file.minTime, width) * width
  return ends.every((border) => border <= first || border > file.maxTime || border % width === 0n)
}

function groupsOf(
  request: ScanRequest,
  dataset: HypertableDefinition,
  files: readonly SummarizedFile[],
  range: TimeRange | null,
): SummaryQuestion[] {
  const names = new Set<string>()
  for (const { ref } of [...request.by, ...request.states]) if (ref) names.add(ref.column)
  if (request.where) namesInFilter(request.where, names)
  return groupByLayout(dataset, files, names).map((scope) => ({
    request,
    scope,
    files: scope.files as readonly SummarizedFile[],
    range,
  }))
}

/**
 * Adds the cells of summaries; the number of rows that they stand for. Null when the rows themselves have to be asked: a sum
 * that overflowed, a filter that DuckDB cannot be asked. Nothing has been added then.
 */
export async function scanSummaries(
  access: LakeAccess,
  { request, scope, files, range }: SummaryQuestion,
  cells: Cells,
): Promise<number | null> {
  if (access.summaries.takes(files)) return scanHeldSummaries(access, request, files, range, cells)
  const where = request.where && filterToDuckDB(request.where, scope)
  if (request.where && !where) return null
  const time = identifier(summaryColumns.bucket)
  const paths = await Promise.all(
    files.map(({ summary }) => access.store.localFile(summary.path, access.signal)),
  )
  const conditions: Sql[] = where ? [where] : []
  if (range)
    conditions.push(sql`${time} >= ${instantLiteral(range.from)} and ${time} < ${instantLiteral(range.to)}`)
  const bucket = request.bucket && bucketSql(request.bucket, time, spanOf(files))
  const keys = request.by.map(({ ref }) => identifier(ref.column))
  const grouped = bucket ? [bucket.number, ...keys] : keys
  const planned = request.states.map(plannedState)
  const statement = sql`
    select ${join([...grouped, sql`sum(${identifier(summaryColumns.rows)})::bigint`, ...planned.flatMap(({ columns }) => columns)], ', ')}
    from ${raw(`read_parquet([${paths.map(pathLiteral).join(', ')}], hive_partitioning = false)`)}
    ${conditions.length > 0 ? sql`where ${join(conditions, ' and ')}` : raw('')}
    ${grouped.length > 0 ? raw(`group by ${grouped.map((_, i) => i + 1).join(', ')}`) : raw('')}
    limit ${raw(String(request.maxCells + 1))}`
  const rows = await askFiles(access, statement)
  if (rows.length > request.maxCells) throw tooManyCells(request.maxCells)
  const read = rows.map((row) => {
    let at = grouped.length + 1
    return planned.map(({ columns, read: readState }) => {
      const from = at
      at += columns.length
      return readState(plainValues(row, from, at))
    })
  })
  if (read.some((row) => row.includes(null))) return null
  let count = 0
  for (const [i, row] of rows.entries()) {
    const counted = Number(row[grouped.length] ?? 0n)
    // without GROUP BY there is one row even when nothing matched
    if (counted === 0) continue
    count += counted
    const cell = cells.at(
      bucket ? bucket.startOf(row[0] as bigint) : null,
      plainValues(row, bucket ? 1 : 0, grouped.length),
    )
    for (const [target, state] of read[i]!.entries()) cells.merge(cell, target, state!)
  }
  return count
}

/** Buckets begin before the first row of the file. */
function spanOf(files: readonly SummarizedFile[]): { from: Instant; to: Instant } {
  let from = files[0]!.minTime
  let to = files[0]!.maxTime
  for (const file of files) {
    const width = BigInt(file.summary.layout.bucketMicros)
    const first = floorDivide(file.minTime, width) * width
    if (first < from) from = first
    if (file.maxTime > to) to = file.maxTime
  }
  return { from, to }
}

interface PlannedState {
  readonly columns: readonly Sql[]
  /** Null: not known from the summary. */
  readonly read: (values: readonly unknown[]) => object | null
}

function plannedState({ spec, ref }: StateRequest): PlannedState {
  const shape = states[spec.kind].duckdb(spec) as Extract<EngineState, { shape: 'columns' }>
  const used = shape.quick ?? shape
  if (ref === null) {
    // of the count of rows there is one column whatever the state's own are
    return {
      columns: [sql`sum(${identifier(summaryColumns.rows)})::bigint`],
      read: (values) => shape.read(values),
    }
  }
  const kind = spec.kind as SummaryState
  const width = used.columns({ value: identifier(ref.column), time: null, filter: null }).length
  const names = summaryStateColumns(ref.column, kind, width)
  return { columns: names.map((name) => mergeSummaryColumn(kind, identifier(name))), read: used.read }
}
