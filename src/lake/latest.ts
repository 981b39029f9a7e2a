import {
  type ColumnRef,
  canonicalKey,
  compareNewest,
  evaluateFilter,
  everything,
  type FilterNode,
  keyText,
  type LatestRequest,
  type LatestResult,
  type NewestKey,
  newestKeys,
  type Operand,
  type RowValue,
} from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { LakeFile } from './contract.ts'
import { plainValue } from './duckdb.ts'
import { type FileGroup, groupByLayout } from './file-scope.ts'
import { columnSql, filterToDuckDB, necessaryFilter } from './filter-sql.ts'
import { filesFor } from './prune.ts'
import {
  allOrStop,
  askFiles,
  fromFiles,
  InexactError,
  inStatements,
  type LakeAccess,
  streamFiles,
} from './read-files.ts'
import { rowReader } from './read-row.ts'
import { timeRangeConditions } from './scan-group.ts'
import { namesInFilter, operandReader } from './scan-rows.ts'

/** The newest row of each series that has been found, by the text of the series. */
type Newest = Map<string, { readonly values: readonly RowValue[]; readonly keys: readonly RowValue[] }>

interface LatestReading {
  readonly access: LakeAccess
  readonly request: LatestRequest
  readonly dataset: HypertableDefinition
  /** The declared columns that are looked at. */
  readonly columns: ReadonlySet<string>
  readonly range: TimeRange
  readonly order: readonly NewestKey[]
  readonly maxSeries: number
}

/**
 * The newest row of each series, ties decided by the rule of query/row-order.ts.
 *
 * The newest files come first. Of all older ones only the series are looked at (columns by which files are sorted take
 * next to nothing), and nothing more when each has a newer row.
 *
 * The newest time of each series is found by hashing, then the rows of these times: a join reads the other columns only
 * where these times can be.
 */
export async function readLatest(
  access: LakeAccess,
  request: LatestRequest,
  dataset: HypertableDefinition,
  catalog: readonly LakeFile[],
  maxSeries: number,
): Promise<LatestResult> {
  const range: TimeRange = request.range ?? everything
  const files = filesFor(dataset, catalog, range, request.where)
  const order = newestKeys(dataset, request.by)
  const columns = new Set([dataset.time, ...request.columns, ...request.by])
  for (const { column } of order) columns.add(column)
  if (request.where) namesInFilter(request.where, columns)
  const reading: LatestReading = { access, request, dataset, columns, range, order, maxSeries }
  const newest: Newest = new Map()
  const opened = new Set<LakeFile>()
  for (const layer of layersOf(files)) {
    if (newest.size > 0 && !(await hasOthers(reading, layer, newest))) break
    for (const file of layer) opened.add(file)
    // whatever a newer layer has is newer
    for (const [series, row] of await newestOf(reading, layer))
      if (!newest.has(series)) newest.set(series, row)
    assertSeries(newest.size, maxSeries)
  }
  const rows = [...newest.values()]
  return {
    rows: rows.map(({ values }) => values),
    keys: request.withKeys ? rows.map(({ keys }) => keys) : null,
    rowsRead: rows.length,
    bytesRead: [...opened].reduce((sum, file) => sum + file.bytes, 0),
    detail: { files: opened.size, summaries: 0 },
  }
}

function assertSeries(size: number, maxSeries: number): void {
  if (size > maxSeries)
    throw new TidemarkError('TM_LIMIT', {
      what: 'rows',
      value: `more than ${maxSeries}`,
      limit: String(maxSeries),
      todo: 'ask for fewer series with a filter or a shorter range',
    })
}

/** The newest file with those whose times reach into its, and all that is older. */
function layersOf(files: readonly LakeFile[]): readonly (readonly LakeFile[])[] {
  const sorted = [...files].sort((a, b) => (a.maxTime > b.maxTime ? -1 : 1))
  let oldest = sorted[0]?.minTime ?? 0n
  let size = 0
  for (const file of sorted) {
    if (file.maxTime < oldest) break
    if (file.minTime < oldest) oldest = file.minTime
    size++
  }
  return [sorted.slice(0, size), sorted.slice(size)].filter((layer) => layer.length > 0)
}

function statementsOf(
  { dataset, columns }: LatestReading,
  files: readonly LakeFile[],
): (readonly [FileGroup, readonly LakeFile[]])[] {
  return groupByLayout(dataset, files, columns).flatMap((group) =>
    inStatements(group.files).map((part) => [group, part] as const),
  )
}

/** The text of a row's series; equal for equal ones. `at`: where the columns of the series are. */
function seriesReader(
  { request, dataset }: LatestReading,
  at: readonly number[],
): (row: readonly RowValue[]) => string {
  const types = request.by.map((name) => dataset.columns[name]!)
  return (row) => {
    let text = ''
    for (const [i, { type, scale }] of types.entries())
      text += keyText(canonicalKey(type, row[at[i]!] ?? null, scale))
    return text
  }
}

/** Whether files may have a series that is not among those found. */
async function hasOthers(
  reading: LatestReading,
  files: readonly LakeFile[],
  newest: Newest,
): Promise<boolean> {
  const { access, request } = reading
  if (request.by.length === 0) return false
  const seriesOf = seriesReader(
    reading,
    request.by.map((_, i) => i),
  )
  const found = await allOrStop(
    access,
    statementsOf(reading, files).map(([group, part]) => async (inner: LakeAccess): Promise<boolean> => {
      const by = request.by.map((name) => columnSql(name, group))
      if (by.includes(null)) return true
      const list = join(by as Sql[], ', ')
      const where = partOnSeries(request.where, request.by, group)
      const rows = await askFiles(
        inner,
        sql`select distinct ${list} from ${await fromFiles(inner, part, by as Sql[])}
          ${where ? sql`where ${where}` : raw('')} limit ${raw(String(reading.maxSeries + 1))}`,
      )
      return rows.some((row) => !newest.has(seriesOf(row.map(plainValue))))
    }),
  )
  return found.includes(true)
}

/** What a filter says of the series alone. */
function partOnSeries(where: FilterNode | null, by: readonly string[], group: FileGroup): Sql | null {
  if (where === null) return null
  const parts = (where.kind === 'and' ? where.filters : [where]).filter((part) => {
    const names = new Set<string>()
    namesInFilter(part, names)
    return [...names].every((name) => by.includes(name) && group.dataset.columns[name]?.type !== 'jsonb')
  })
  const said = parts.map((part) => filterToDuckDB(part, group)).filter((part): part is Sql => part !== null)
  return said.length === 0 ? null : join(said, ' and ')
}

async function newestOf(reading: LatestReading, files: readonly LakeFile[]): Promise<Newest> {
  const newest: Newest = new Map()
  const isNewer = compareNewest(reading.order)
  await allOrStop(
    reading.access,
    statementsOf(reading, files).map(([group, part]) => async (access: LakeAccess): Promise<void> => {
      const found = await newestOfGroup({ ...reading, access }, group, part)
      for (const [series, row] of found) {
        const known = newest.get(series)
        if (!known || isNewer(row.keys, known.keys) > 0) newest.set(series, row)
      }
    }),
  )
  return newest
}

async function newestOfGroup(
  reading: LatestReading,
  group: FileGroup,
  files: readonly LakeFile[],
): Promise<Newest> {
  const { request, access } = reading
  const { where } = request
  const by = request.by.map((name) => columnSql(name, group))
  const said = where && !access.onlyTypeScript ? filterToDuckDB(where, group) : null
  const isSaid = !access.onlyTypeScript && !by.includes(null) && (!where || said !== null)
  if (isSaid) {
    try {
      return await readNewest(reading, group, files, { condition: said, by: by as Sql[] })
    } catch (error) {
      if (!(error instanceof InexactError)) throw error
    }
  }
  const necessary = access.onlyTypeScript || isSaid ? null : necessaryFilter(where, group)
  return readNewest(reading, group, files, { condition: necessary, by: null })
}

/** @param how `by`: the series in DuckDB, whose condition is the whole filter; null: both are looked at here. */
async function readNewest(
  reading: LatestReading,
  group: FileGroup,
  files: readonly LakeFile[],
  how: { readonly condition: Sql | null; readonly by: readonly Sql[] | null },
): Promise<Newest> {
  const { access, request, dataset, order, maxSeries } = reading
  const values = rowReader(group, request.columns, true)
  const inner = rowReader(group, [...reading.columns], false)
  const places = new Map([...reading.columns].map((name, i) => [name, i]))
  const operands = operandReader(group, places)
  const keyPlaces = order.map(({ column }) => places.get(column)!)
  const seriesOf = seriesReader(
    reading,
    request.by.map((name) => places.get(name)!),
  )
  const physical = inner.columns
  const from = await fromFiles(access, files, physical)
  const conditions = timeRangeConditions(group, files, reading.range)
  if (how.condition) conditions.push(how.condition)
  const where = conditions.length > 0 ? sql` where ${join(conditions, ' and ')}` : raw('')
  const rows = sql`select ${join([...values.columns, ...inner.columns], ', ')} from ${from}${where}`
  const statement = how.by
    ? newestSql(dataset, how.by, physical, from, where, [...values.columns, ...inner.columns], maxSeries)
    : rows
  const width = values.columns.length
  const isNewer = compareNewest(order)
  const newest: Newest = new Map()
  await streamFiles(access, statement, (chunk) => {
    for (const given of chunk.getRows()) {
      const row = inner.read(given.slice(width))
      if (!how.by && request.where) {
        const operandOf = (ref: ColumnRef): Operand => operands(row, ref)
        if (evaluateFilter(request.where, operandOf) !== true) continue
      }
      const series = seriesOf(row)
      const keys = keyPlaces.map((at) => row[at] ?? null)
      const known = newest.get(series)
      if (known && isNewer(keys, known.keys) <= 0) continue
      newest.set(series, { values: values.read(given), keys })
      assertSeries(newest.size, maxSeries)
    }
    return true
  })
  return newest
}

/** The rows at the newest time of each series. */
function newestSql(
  dataset: HypertableDefinition,
  by: readonly Sql[],
  physical: readonly Sql[],
  from: Sql,
  where: Sql,
  selected: readonly Sql[],
  maxSeries: number,
): Sql {
  const time = identifier(dataset.time)
  const newest = identifier('newest of series')
  const keys = by.map((_, i) => identifier(`series ${i}`))
  const found = sql`select ${join([...by.map((key, i) => sql`${key} as ${keys[i]}`), sql`max(${time}) as ${newest}`], ', ')}
    from ${from}${where}
    ${by.length > 0 ? sql`group by ${raw(by.map((_, i) => String(i + 1)).join(', '))}` : raw('')}
    limit ${raw(String(maxSeries + 1))}`
  // a column that the files do not have is one null for all
  const same = by.flatMap((key, i) =>
    key.parts[0]?.kind === 'identifier' ? [sql`r.${key} is not distinct from m.${keys[i]}`] : [],
  )
  return sql`
    select ${join(selected, ', ')}
    from (select ${join(physical, ', ')} from ${from}${where}) r
    join (${found}) m on ${join([sql`r.${time} = m.${newest}`, ...same], ' and ')}`
}
