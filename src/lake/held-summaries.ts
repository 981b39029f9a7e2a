import { type AggregateState, type EngineState, states } from '../aggregate/index.ts'
import { evaluateFilter, type ScanRequest, type StateRequest } from '../query/index.ts'
import type { TimeRange } from '../time/index.ts'
import { identifier, join, raw, sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'
import type { Cells } from './cells.ts'
import type { SummaryState } from './contract.ts'
import { plainValue } from './duckdb.ts'
import { pathLiteral } from './literal-sql.ts'
import { askColumns, type LakeAccess } from './read-files.ts'
import { bucketOf, namesInFilter } from './scan-rows.ts'
import { summaryColumns, summaryStateColumns } from './summary.ts'
import type { SummarizedFile, SummaryColumn } from './summary-memory.ts'

/** Columns of each file, in the order of `names`; DuckDB reads only the files of which memory has not all of them. */
async function columnsOf(
  access: LakeAccess,
  files: readonly SummarizedFile[],
  names: readonly string[],
): Promise<(readonly SummaryColumn[])[]> {
  const { summaries } = access
  const held = files.map(({ summary }) => summaries.get(summary.path, names))
  const absent = files.filter((_, i) => held[i] === null)
  const read = absent.length === 0 ? [] : await readColumns(access, absent, names)
  for (const [i, { summary }] of absent.entries()) summaries.hold(summary.path, names, read[i]!)
  let next = 0
  return held.map((columns) => columns ?? read[next++]!)
}

async function readColumns(
  access: LakeAccess,
  files: readonly SummarizedFile[],
  names: readonly string[],
): Promise<SummaryColumn[][]> {
  const paths = await Promise.all(
    files.map(({ summary }) => access.store.localFile(summary.path, access.signal)),
  )
  // DuckDB keeps the order of files and of their rows; the numbers tell where one begins
  const [places, ...columns] = await askColumns(
    access,
    sql`
      select file_row_number, ${join(
        names.map((name) => identifier(name)),
        ', ',
      )}
      from ${raw(`read_parquet([${paths.map(pathLiteral).join(', ')}], hive_partitioning = false, file_row_number = true)`)}`,
  )
  const begins = places!.flatMap((place, row) => (place === 0n ? [row] : []))
  if (begins.length !== files.length) unreachable('DuckDB gave summaries in another order than asked')
  const plain = columns.map(plainColumn)
  return begins.map((from, i) => plain.map((column) => column.slice(from, begins[i + 1])))
}

/** Neighbours are often equal: they share one value. */
function plainColumn(values: SummaryColumn): unknown[] {
  let last: unknown
  return values.map((value) => {
    const plain = plainValue(value)
    if (plain !== last) last = plain
    return last
  })
}

interface HeldState {
  /** Columns of the summary, by their places among those that are asked for. */
  readonly places: readonly number[]
  /** Null: not known from the summary. */
  readonly read: (values: readonly unknown[]) => AggregateState | null
}

/** Adds the cells of summaries; as `scanSummaries`. */
export async function scanHeldSummaries(
  access: LakeAccess,
  request: ScanRequest,
  files: readonly SummarizedFile[],
  range: TimeRange | null,
  cells: Cells,
): Promise<number | null> {
  const { where, bucket } = request
  const names: string[] = []
  const placeOf = (name: string): number => {
    const at = names.indexOf(name)
    return at < 0 ? names.push(name) - 1 : at
  }
  const [starts, counts] = [placeOf(summaryColumns.bucket), placeOf(summaryColumns.rows)]
  const keys = request.by.map(({ ref }) => placeOf(ref.column))
  const planned = request.states.map((state) => heldState(state, placeOf))
  const filtered = new Set<string>()
  if (where) namesInFilter(where, filtered)
  for (const name of filtered) placeOf(name)

  let rows = 0
  for (const columns of await columnsOf(access, files, names)) {
    const length = columns[starts]!.length
    for (let row = 0; row < length; row++) {
      const start = columns[starts]![row] as bigint
      if (range && (start < range.from || start >= range.to)) continue
      const operandOf = ({ column }: { readonly column: string }) => ({
        type: request.dataset.columns[column]!.type,
        value: columns[placeOf(column)]![row],
      })
      if (where && evaluateFilter(where, operandOf) !== true) continue
      rows += Number(columns[counts]![row])
      const cell = cells.at(
        bucket ? bucketOf(bucket, start) : null,
        keys.map((key) => columns[key]![row]),
      )
      for (const [target, { places, read }] of planned.entries()) {
        const state = read(places.map((place) => columns[place]![row]))
        if (state === null) return null
        cells.merge(cell, target, state)
      }
    }
  }
  return rows
}

function heldState({ spec, ref }: StateRequest, placeOf: (name: string) => number): HeldState {
  const shape = states[spec.kind].duckdb(spec) as Extract<EngineState, { shape: 'columns' }>
  if (ref === null) return { places: [placeOf(summaryColumns.rows)], read: shape.read }
  const used = shape.quick ?? shape
  const width = used.columns({ value: identifier(ref.column), time: null, filter: null }).length
  return {
    places: summaryStateColumns(ref.column, spec.kind as SummaryState, width).map(placeOf),
    read: used.read,
  }
}
