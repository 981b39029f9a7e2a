import type { DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api'
import {
  type ColumnRef,
  type EventPart,
  type EventRequest,
  type EventRow,
  type EventStore,
  evaluateFilter,
  type Operand,
  type ScanContext,
} from '../query/index.ts'
import type { Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, printSql, raw, type Sql, sql } from '../util/sql.ts'
import { createLakeCatalogs } from './catalog.ts'
import type { LakeFile, ObjectStore } from './contract.ts'
import { type DuckDB, loadDuckDB, parametersOf } from './duckdb.ts'
import { type FileGroup, groupByLayout, jsonPlaces, layoutOf, typeOf } from './file-scope.ts'
import { columnSql, filterToDuckDB, necessaryFilter } from './filter-sql.ts'
import { jsonPartAt, jsonPartText } from './json-at.ts'
import { jsonText } from './json-sql.ts'
import { lakeSnapshot } from './lake-snapshot.ts'
import { filesFor } from './prune.ts'
import {
  fromFiles,
  InexactError,
  inStatements,
  type LakeAccess,
  streamFiles,
  withLakeErrors,
} from './read-files.ts'
import { columnReader, rowReader } from './read-row.ts'
import { timeRangeConditions } from './scan-group.ts'
import { namesInFilter, operandReader } from './scan-rows.ts'
import { createSummaryMemory } from './summary-memory.ts'

export interface EventStoreOptions {
  readonly duckdb: DuckDB
  readonly store: ObjectStore
  /** The rows that no file has, in pieces. */
  readonly hot: (request: EventRequest, context: ScanContext) => AsyncIterable<readonly EventRow[]>
  /** Rows that one request may take from there; one more is TM_LIMIT. */
  readonly maxHotRows: number
  /** `typescript` takes only rows from DuckDB, and is for tests. Default `duckdb`. */
  readonly computeIn?: 'duckdb' | 'typescript'
}

/**
 * Events of both tiers in one temporary table of DuckDB, which spills when it is large: the narrow rows that a question is about,
 * of files made by DuckDB itself, of PostgreSQL brought over piece by piece.
 *
 * @example
 * const store = createEventStore({ duckdb, store, hot, maxHotRows: 10_000_000 })
 * await store.lend(request, { snapshot, signal }, async ({ ask }) => ask(sql`select count(*) from events`))
 */
export function createEventStore(options: EventStoreOptions): EventStore {
  const { duckdb, store, hot, maxHotRows, computeIn } = options
  const catalogs = createLakeCatalogs()
  const summaries = createSummaryMemory(0)
  return {
    lend: (request, context, use) =>
      duckdb.withConnection(context.signal, async (connection) => {
        const { signal } = context
        const access: LakeAccess = {
          ...{ duckdb, store, catalogs, summaries, signal },
          snapshot: lakeSnapshot(context.snapshot),
          onlyTypeScript: computeIn === 'typescript',
        }
        const names = request.texts.map(({ name }) => name)
        const columns = names.map((name) => sql`${identifier(name)} varchar`)
        const create = sql`create temp table events (${join([raw('t bigint'), raw('m integer'), ...columns], ', ')})`
        await connection.run(printSql(create).text)
        const parts = [
          await takeHot(connection, request, context, hot, maxHotRows),
          await takeCold(connection, access, request),
        ]
        const result = await use({
          parts,
          ask: (statement) =>
            withLakeErrors(access, async () => {
              const { text, values } = printSql(statement)
              return (await connection.runAndReadAll(text, parametersOf(values))).getRows()
            }),
        })
        await connection.run('drop table events')
        return result
      }),
  }
}

async function takeHot(
  connection: DuckDBConnection,
  request: EventRequest,
  context: ScanContext,
  hot: EventStoreOptions['hot'],
  maxHotRows: number,
): Promise<EventPart> {
  const sink = await createSink(connection, request.texts.length)
  let count = 0
  for await (const rows of hot(request, context)) {
    context.signal?.throwIfAborted()
    count += rows.length
    if (count > maxHotRows)
      throw new TidemarkError('TM_LIMIT', {
        what: 'the number of events that a question brings over from PostgreSQL',
        value: `more than ${maxHotRows}`,
        limit: String(maxHotRows),
        todo: 'ask for a shorter range or say where, freeze older chunks, or raise limits.maxEvents',
      })
    for (const row of rows) sink.add(row)
  }
  sink.close()
  return { source: 'hot', rows: count, files: 0 }
}

interface Sink {
  add(row: EventRow): void
  close(): void
}

/** What one chunk of DuckDB has at most. */
const chunkRows = 2048

async function createSink(connection: DuckDBConnection, texts: number): Promise<Sink> {
  const { BIGINT, DuckDBDataChunk, INTEGER, VARCHAR } = loadDuckDB()
  const appender = await connection.createAppender('events')
  const types = [BIGINT, INTEGER, ...Array.from({ length: texts }, () => VARCHAR)]
  let columns: EventRow[number][][] = types.map(() => [])
  const flush = (): void => {
    const rows = columns[0]!.length
    if (rows === 0) return
    const chunk = DuckDBDataChunk.create(types, rows)
    chunk.setColumns(columns)
    appender.appendDataChunk(chunk)
    columns = types.map(() => [])
  }
  return {
    add(row) {
      for (let i = 0; i < columns.length; i++) columns[i]!.push(row[i] ?? null)
      if (columns[0]!.length === chunkRows) flush()
    },
    close() {
      flush()
      appender.closeSync()
    },
  }
}

async function takeCold(
  connection: DuckDBConnection,
  access: LakeAccess,
  request: EventRequest,
): Promise<EventPart> {
  const { dataset, range, where } = request
  const catalog = await access.catalogs.read(access.snapshot, dataset, access.signal, range)
  const files = filesFor(dataset, catalog, range, where)
  let rows = 0
  for (const group of groupByLayout(dataset, files, columnsOf(request)))
    for (const part of inStatements(group.files))
      rows += await takeFiles(connection, access, request, group, part)
  return { source: 'cold', rows, files: files.length }
}

/** One statement after the other: each uses all threads. */
async function takeFiles(
  connection: DuckDBConnection,
  access: LakeAccess,
  request: EventRequest,
  group: FileGroup,
  files: readonly LakeFile[],
): Promise<number> {
  const said = access.onlyTypeScript ? null : selectSql(request, group, files)
  if (said) {
    const physical = columnsOf(request).flatMap((name) => columnReader(group, name).columns)
    const from = await fromFiles(access, files, physical)
    const { text, values } = printSql(
      sql`insert into events select ${said.columns} from ${from}${said.where}`,
    )
    try {
      return await withLakeErrors(access, async () => {
        const { rowsChanged } = await connection.run(text, parametersOf(values))
        return rowsChanged
      })
    } catch (error) {
      // nothing of the statement is in the table
      if (!(error instanceof InexactError)) throw error
    }
  }
  return takeByRows(connection, access, request, group, files)
}

/** Null where DuckDB cannot be asked so that the answer is certainly the same. */
function selectSql(
  request: EventRequest,
  group: FileGroup,
  files: readonly LakeFile[],
): { readonly columns: Sql; readonly where: Sql } | null {
  const conditions = timeRangeConditions(group, files, request.range)
  if (request.where) {
    const where = filterToDuckDB(request.where, group)
    if (!where) return null
    conditions.push(where)
  }
  const bits: Sql[] = []
  for (const [i, flag] of request.flags.entries()) {
    const condition = filterToDuckDB(flag, group)
    if (!condition) return null
    bits.push(sql`case when ${condition} then ${raw(String(2 ** i))} else 0 end`)
  }
  const texts: Sql[] = []
  for (const { refs } of request.texts) {
    const each = refs.map((ref) => textSql(ref, group))
    if (each.includes(null)) return null
    texts.push(sql`coalesce(${join(each as Sql[], ', ')})`)
  }
  const mask = bits.length === 0 ? raw('0') : join(bits, ' + ')
  const time = sql`epoch_us(${identifier(group.dataset.time)})`
  return {
    columns: join([time, mask, ...texts], ', '),
    where: conditions.length === 0 ? raw('') : sql` where ${join(conditions, ' and ')}`,
  }
}

function textSql(ref: ColumnRef, group: FileGroup): Sql | null {
  const layout = layoutOf(group, ref.column)
  if (!layout) return raw('null::varchar')
  const value =
    typeOf(group, ref) !== 'jsonb'
      ? columnSql(ref.column, group)
      : layout.kind === 'json'
        ? jsonText(jsonPlaces(layout, ref.path))
        : null
  return value && sql`(${value})::varchar`
}

/** The same with DuckDB only handing over rows. */
async function takeByRows(
  connection: DuckDBConnection,
  access: LakeAccess,
  request: EventRequest,
  group: FileGroup,
  files: readonly LakeFile[],
): Promise<number> {
  const { where, flags, texts, range } = request
  const names = columnsOf(request)
  const reader = rowReader(group, names, false)
  const places = new Map(names.map((name, i) => [name, i]))
  const operands = operandReader(group, places)
  const readers = texts.map(({ refs }) => refs.map((ref) => textReader(group, ref, places.get(ref.column)!)))
  const conditions = timeRangeConditions(group, files, range)
  const necessary = access.onlyTypeScript ? null : necessaryFilter(where, group)
  if (necessary) conditions.push(necessary)
  const from = await fromFiles(access, files, reader.columns)
  const condition = conditions.length === 0 ? raw('') : sql` where ${join(conditions, ' and ')}`
  const sink = await createSink(connection, texts.length)
  let count = 0
  const take = (chunk: DuckDBDataChunk): boolean => {
    for (const given of chunk.getRows()) {
      const row = reader.read(given)
      const operandOf = (ref: ColumnRef): Operand => operands(row, ref)
      if (where && evaluateFilter(where, operandOf) !== true) continue
      let mask = 0
      for (const [i, flag] of flags.entries()) if (evaluateFilter(flag, operandOf) === true) mask += 2 ** i
      const values = readers.map((refs) => {
        for (const read of refs) {
          const value = read(row)
          if (value !== null) return value
        }
        return null
      })
      sink.add([row[places.get(group.dataset.time)!] as Instant, mask, ...values])
      count++
    }
    return true
  }
  await streamFiles(access, sql`select ${join(reader.columns, ', ')} from ${from}${condition}`, take)
  sink.close()
  return count
}

function textReader(
  group: FileGroup,
  ref: ColumnRef,
  at: number,
): (row: readonly unknown[]) => string | null {
  if (typeOf(group, ref) !== 'jsonb')
    return (row) => (row[at] === null || row[at] === undefined ? null : String(row[at]))
  return (row) => (row[at] === null ? null : jsonPartText(jsonPartAt(row[at] as string, ref.path)))
}

/** The declared columns that a request looks at. */
function columnsOf({ dataset, where, flags, texts }: EventRequest): string[] {
  const names = new Set([dataset.time])
  if (where) namesInFilter(where, names)
  for (const flag of flags) namesInFilter(flag, names)
  for (const { refs } of texts) for (const { column } of refs) names.add(column)
  return [...names]
}
