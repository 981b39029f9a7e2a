import type { DuckDBValue } from '@duckdb/node-api'
import {
  type AggregateState,
  assertOrderedRows,
  type EngineState,
  type InputType,
  maxDuckDBDigits,
  type StateInput,
  sliceSql,
  stateSelect,
  states,
} from '../aggregate/index.ts'
import {
  type ColumnRef,
  canonicalFilter,
  everything,
  type ScanRequest,
  type StateRequest,
} from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { type BucketSql, bucketSql } from './bucket-sql.ts'
import { type Cells, tooManyCells } from './cells.ts'
import type { LakeFile } from './contract.ts'
import { plainValues } from './duckdb.ts'
import { type FileGroup, type FileScope, jsonPlaces, layoutOf, typeOf } from './file-scope.ts'
import { columnSql, filterToDuckDB, necessaryFilter } from './filter-sql.ts'
import { jsonNumber, jsonText } from './json-sql.ts'
import { instantLiteral } from './literal-sql.ts'
import { askFiles, fromFiles, type LakeAccess } from './read-files.ts'
import { columnReader } from './read-row.ts'
import { addRows, namesInFilter } from './scan-rows.ts'

/** The declared columns that a scan looks at. */
export function columnsOfScan(request: ScanRequest, dataset: HypertableDefinition): Set<string> {
  const names = new Set<string>([dataset.time])
  for (const { ref } of request.by) names.add(ref.column)
  if (request.where) namesInFilter(request.where, names)
  for (const { ref, where, series } of request.states) {
    if (ref) names.add(ref.column)
    for (const name of series ?? []) names.add(name)
    if (where) namesInFilter(where, names)
  }
  return names
}

/** Files of a group, and what is asked of them. */
export interface GroupQuestion {
  readonly request: ScanRequest
  readonly group: FileGroup
  readonly files: readonly LakeFile[]
  readonly cells: Cells
}

/**
 * Adds the cells of files to `cells`; the number of rows that matched. What can be said in DuckDB so that the answer is certainly
 * the same is asked of DuckDB; states that it cannot compute are added in TypeScript.
 *
 * @throws InexactError when DuckDB met JSON that it reads in another way; nothing has been added then.
 */
export async function scanGroup(access: LakeAccess, question: GroupQuestion): Promise<number> {
  const plan = access.onlyTypeScript ? null : planSql(question)
  if (!plan) return scanByRows(access, question)
  const from = await fromFiles(access, question.files, plan.physical)
  const rowsRead = await askCells(access, question, plan, from)
  if (plan.unsaid.length > 0 && rowsRead > 0) {
    const { request, group, cells } = question
    await addRows(access, {
      ...{ request, scope: group, from, cells },
      condition: plan.condition,
      where: null,
      targets: plan.unsaid,
    })
  }
  return rowsRead
}

/** The same with no computation in DuckDB but of what leaves out rows: slower, and always possible. */
export async function scanByRows(access: LakeAccess, question: GroupQuestion): Promise<number> {
  const { request, group, files, cells } = question
  const conditions = timeConditions(group, files, request)
  const necessary = access.onlyTypeScript ? null : necessaryFilter(request.where, group)
  if (necessary) conditions.push(necessary)
  return addRows(access, {
    ...{ request, scope: group, cells },
    from: await fromFiles(access, files, physicalColumns(request, group)),
    condition: conditions.length === 0 ? null : join(conditions, ' and '),
    where: request.where,
    targets: request.states.map((_, i) => i),
  })
}

function physicalColumns(request: ScanRequest, group: FileGroup): Sql[] {
  return [...columnsOfScan(request, group.dataset)].flatMap((name) => columnReader(group, name).columns)
}

/** That a row lies in the range and in a bucket; nothing where all rows of the files do. */
function timeConditions(scope: FileScope, files: readonly LakeFile[], request: ScanRequest): Sql[] {
  const { from, to } = stretchOf(request)
  return timeRangeConditions(scope, files, { from, to })
}

/** That the time of a row lies in the range; nothing where that of all rows of the files does. */
export function timeRangeConditions(
  scope: FileScope,
  files: readonly LakeFile[],
  range: TimeRange | null,
): Sql[] {
  if (!range) return []
  const time = identifier(scope.dataset.time)
  const conditions: Sql[] = []
  if (files.some((file) => file.minTime < range.from))
    conditions.push(sql`${time} >= ${instantLiteral(range.from)}`)
  if (files.some((file) => file.maxTime >= range.to))
    conditions.push(sql`${time} < ${instantLiteral(range.to)}`)
  return conditions
}

/** A row outside of the listed buckets belongs to none of them. */
function stretchOf({ range, bucket }: ScanRequest): TimeRange {
  let { from, to } = range ?? everything
  if (bucket?.kind === 'borders') {
    const first = bucket.borders[0] ?? to
    const last = bucket.borders.at(-1) ?? to
    if (first > from) from = first
    if (last < to) to = last
  }
  return { from, to }
}

interface PlannedState {
  readonly target: number
  readonly shape: EngineState
  readonly input: StateInput
}

interface SqlPlan {
  /** Of the files. */
  readonly physical: readonly Sql[]
  /** Of the rows; null: all. */
  readonly condition: Sql | null
  /** Computed once for each row, beside the physical columns. */
  readonly computed: readonly Sql[]
  readonly bucket: BucketSql | null
  readonly cells: readonly Sql[]
  readonly states: readonly PlannedState[]
  /** States that DuckDB cannot compute. */
  readonly unsaid: readonly number[]
}

/** Null when rows, buckets or groups cannot be told apart in DuckDB. */
function planSql({ request, group, files }: GroupQuestion): SqlPlan | null {
  const time = identifier(group.dataset.time)
  const conditions = timeConditions(group, files, request)
  if (request.where) {
    const where = filterToDuckDB(request.where, group)
    if (!where) return null
    conditions.push(where)
  }
  const computed: Sql[] = []
  const byText = new Map<string, Sql>()
  const compute = (key: string, expression: Sql): Sql => {
    const known = byText.get(key)
    if (known) return known
    const name = identifier(`computed ${computed.length}`)
    computed.push(sql`${expression} as ${name}`)
    byText.set(key, name)
    return name
  }
  const inner = (ref: ColumnRef, read: 'text' | 'number'): Sql | null => {
    const layout = layoutOf(group, ref.column)
    if (!layout) return raw(read === 'text' ? 'null::varchar' : 'null::double')
    if (layout.kind !== 'json') return null
    const places = jsonPlaces(layout, ref.path)
    const value = read === 'text' ? jsonText(places) : jsonNumber(places)
    return value && compute(JSON.stringify([read, ref.column, ...ref.path]), value)
  }

  const keys: Sql[] = []
  for (const { ref } of request.by) {
    const key = typeOf(group, ref) === 'jsonb' ? inner(ref, 'text') : columnSql(ref.column, group)
    if (!key) return null
    keys.push(key)
  }
  if (request.slice) conditions.push(sliceSql('duckdb', keyValues(request, group), request.slice))
  const valueSql = ({ spec, ref }: StateRequest): Sql | null => {
    if (!ref) return null
    if (spec.input === 'json-text') return inner(ref, 'text')
    if (spec.input === 'json-number') return inner(ref, 'number')
    const layout = layoutOf(group, ref.column)
    if (layout?.kind === 'decimal' && layout.precision > maxDuckDBDigits && spec.kind !== 'count') return null
    // whatever lies there, null is null
    if (layout && spec.kind === 'count') return identifier(ref.column)
    return columnSql(ref.column, group)
  }
  const planned: PlannedState[] = []
  const unsaid: number[] = []
  for (const [target, state] of request.states.entries()) {
    const shape = states[state.spec.kind].duckdb(state.spec)
    const value = valueSql(state)
    const filter = state.where && filterToDuckDB(state.where, group)
    const series = state.series?.map((column) => columnSql(column, group))
    if (!shape || (state.ref && !value) || (state.where && !filter) || series?.includes(null)) {
      unsaid.push(target)
      continue
    }
    const condition = filter && compute(`filter ${canonicalFilter(state.where)}`, filter)
    planned.push({ target, shape, input: { value, time, filter: condition, series: series as Sql[] } })
  }
  let span = stretchOf(request)
  for (const [i, file] of files.entries()) {
    if (i === 0) span = { from: max(span.from, file.minTime), to: min(span.to, file.maxTime + 1n) }
    else
      span = {
        from: min(span.from, max(stretchOf(request).from, file.minTime)),
        to: max(span.to, min(stretchOf(request).to, file.maxTime + 1n)),
      }
  }
  const bucket = request.bucket && bucketSql(request.bucket, time, { from: span.from, to: span.to - 1n })
  return {
    physical: physicalColumns(request, group),
    condition: conditions.length === 0 ? null : join(conditions, ' and '),
    computed,
    bucket,
    cells: bucket ? [bucket.number, ...keys] : keys,
    states: planned,
    unsaid,
  }
}

/** Keys as they are in a row, where `computed` is not known yet; all of them can be said. */
function keyValues({ by }: ScanRequest, group: FileGroup): { type: InputType; value: Sql }[] {
  return by.map(({ ref }) => {
    const type = typeOf(group, ref)
    const layout = layoutOf(group, ref.column)
    const isInner = type === 'jsonb' && layout?.kind === 'json'
    const value = isInner ? jsonText(jsonPlaces(layout, ref.path)) : columnSql(ref.column, group)
    return { type: type === 'jsonb' ? 'text' : type, value: value ?? raw('null::varchar') }
  })
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

/** One statement for all states that are columns, one more for each other one. Nothing is added when one fails. */
async function askCells(
  access: LakeAccess,
  { request, cells }: GroupQuestion,
  plan: SqlPlan,
  files: Sql,
): Promise<number> {
  const width = plan.cells.length
  const isComputed = plan.computed.length > 0
  const condition = plan.condition ? sql` where ${plan.condition}` : raw('')
  const from = isComputed
    ? sql`(select ${join([...plan.physical, ...plan.computed], ', ')} from ${files}${condition}) c`
    : files
  const where = isComputed ? raw('') : condition

  const readCell = (row: readonly DuckDBValue[]): (AggregateState | undefined)[] =>
    cells.at(
      plan.bucket ? plan.bucket.startOf(row[0] as bigint) : null,
      plainValues(row, plan.bucket ? 1 : 0, width),
    )

  const ask = async (isQuick: boolean): Promise<{ rows: Answered[]; count: number } | null> => {
    const columns = plan.states.map(({ shape, input }) =>
      shape.shape !== 'columns' ? [] : ((isQuick && shape.quick) || shape).columns(input),
    )
    const rows = await askFiles(
      access,
      sql`select ${join([...plan.cells, raw('count(*)'), ...columns.flat()], ', ')}
        from ${from}${where}${groupBy(width)} limit ${raw(String(request.maxCells + 1))}`,
    )
    if (rows.length > request.maxCells) throw tooManyCells(request.maxCells)
    let count = 0
    const answered: Answered[] = []
    for (const row of rows) {
      const counted = Number(row[width] as bigint)
      // without GROUP BY there is one row even when nothing matched
      if (counted === 0) continue
      count += counted
      let at = width + 1
      const read: (AggregateState | null)[] = []
      for (const [i, { shape }] of plan.states.entries()) {
        if (shape.shape !== 'columns') {
          read.push(null)
          continue
        }
        const from = at
        at += columns[i]!.length
        const values = plainValues(row, from, at)
        const state = isQuick && shape.quick ? shape.quick.read(values) : shape.read(values)
        if (state === null) return null
        read.push(state)
      }
      answered.push({ row, read })
    }
    return { rows: answered, count }
  }

  const { rows, count } = (await ask(true)) ?? (await ask(false))!
  const keyed = count === 0 ? [] : plan.states.filter(({ shape }) => shape.shape !== 'columns')
  const keyedRows = await Promise.all(
    keyed.map(({ shape, input }) =>
      askFiles(
        access,
        stateSelect(shape as OwnStatement, input, {
          cells: plan.cells,
          from,
          where: isComputed ? null : plan.condition,
        }),
      ),
    ),
  )
  for (const { row, read } of rows) {
    const cell = readCell(row)
    for (const [i, state] of read.entries()) if (state) cells.merge(cell, plan.states[i]!.target, state)
  }
  for (const [i, { shape }] of keyed.entries()) assertOrderedRows(shape, keyedRows[i]!.length)
  for (const [i, { target, shape }] of keyed.entries())
    for (const row of keyedRows[i]!) {
      const values = plainValues(row, width, width + (shape as OwnStatement).width)
      cells.merge(readCell(row), target, (shape as OwnStatement).read(values))
    }
  return count
}

interface Answered {
  readonly row: readonly DuckDBValue[]
  readonly read: readonly (AggregateState | null)[]
}

type OwnStatement = Exclude<EngineState, { shape: 'columns' }>

/** By position: an expression with parameters is not recognised as the same one in GROUP BY. */
function groupBy(width: number): Sql {
  if (width === 0) return raw('')
  return raw(` group by ${Array.from({ length: width }, (_, i) => i + 1).join(', ')}`)
}
