import type { DuckDBAppender, DuckDBConnection } from '@duckdb/node-api'
import { type ColumnRef, evaluateFilter, type FilterNode, type Operand } from '../query/index.ts'
import type { ColumnType } from '../schema/index.ts'
import { identifier, join, printSql, raw, type Sql, sql } from '../util/sql.ts'
import type { FilterSearch, FoundKey, KeySearch, ObjectStore } from './contract.ts'
import { cancelled } from './copy-stream.ts'
import type { DuckDB } from './duckdb.ts'
import { type FileScope, layoutOf } from './file-scope.ts'
import { filterToDuckDB, necessaryFilter } from './filter-sql.ts'
import { instantLiteral, pathLiteral } from './literal-sql.ts'
import { InexactError, streamFiles } from './read-files.ts'
import { rowReader } from './read-row.ts'
import { readProblem } from './read-rows.ts'
import { namesInFilter, operandReader } from './scan-rows.ts'

/** What the files of a lake are read with. */
export interface SearchAccess {
  readonly duckdb: DuckDB
  readonly store: ObjectStore
}

export async function findMatching(access: SearchAccess, request: FilterSearch): Promise<Float64Array> {
  const { file, where, range } = request
  if (range !== null && (file.maxTime < range.from || file.minTime >= range.to)) return new Float64Array(0)
  const scope: FileScope = { dataset: request.definition, layout: file.layout }
  const said = where === null ? raw('true') : filterToDuckDB(where, scope)
  if (said !== null) {
    try {
      return await readPlaces(access, request, scope, said, null)
    } catch (error) {
      if (!(error instanceof InexactError)) throw error
    }
  }
  const necessary = said === null ? necessaryFilter(where, scope) : null
  return readPlaces(access, request, scope, necessary ?? raw('true'), where)
}

/** @param where What DuckDB was not asked, or could not tell; null: nothing. */
async function readPlaces(
  { duckdb, store }: SearchAccess,
  { definition, file, range, columns = [], onRow, signal }: FilterSearch,
  scope: FileScope,
  condition: Sql,
  where: FilterNode | null,
): Promise<Float64Array> {
  const filtered = new Set<string>()
  if (where !== null) namesInFilter(where, filtered)
  const names = [...columns, ...filtered]
  const reader = rowReader(scope, names, false)
  const operands = operandReader(scope, new Map([...filtered].map((name, i) => [name, columns.length + i])))
  const time = identifier(definition.time)
  const conditions = [condition]
  if (range !== null && file.minTime < range.from)
    conditions.push(sql`${time} >= ${instantLiteral(range.from)}`)
  if (range !== null && file.maxTime >= range.to) conditions.push(sql`${time} < ${instantLiteral(range.to)}`)
  const local = await store.localFile(file.path, signal)
  const statement = sql`
    select ${join([raw('file_row_number'), ...reader.columns], ', ')}
    from ${raw(`read_parquet(${pathLiteral(local)}, hive_partitioning = false, file_row_number = true)`)}
    where ${join(conditions, ' and ')}`
  const places = new Places()
  await streamFiles({ duckdb, store, signal }, statement, (chunk) => {
    for (const given of chunk.getRows()) {
      if (names.length > 0) {
        const row = reader.read(given.slice(1))
        const operandOf = (ref: ColumnRef): Operand => operands(row, ref)
        if (where !== null && evaluateFilter(where, operandOf) !== true) continue
        onRow?.(columns.length === row.length ? row : row.slice(0, columns.length))
      }
      places.add(Number(given[0] as bigint))
    }
    return true
  })
  return places.sorted()
}

/** Places in a file: a million of them are 8 MB. */
class Places {
  #all = new Float64Array(1024)
  #length = 0

  add(place: number): void {
    if (this.#length === this.#all.length) {
      const larger = new Float64Array(this.#length * 2)
      larger.set(this.#all)
      this.#all = larger
    }
    this.#all[this.#length++] = place
  }

  sorted(): Float64Array {
    return this.#all.slice(0, this.#length).sort()
  }
}

/** Types that DuckDB compares as PostgreSQL does; columns of others are compared here, among rows that are equal in these. */
const joinedTypes: Readonly<
  Partial<Record<ColumnType, { readonly stored: string; readonly of: (column: string) => string }>>
> = {
  text: { stored: 'varchar', of: (column) => column },
  uuid: { stored: 'varchar', of: (column) => `${column}::uuid` },
  bool: { stored: 'boolean', of: (column) => column },
  int2: { stored: 'bigint', of: (column) => `${column}::smallint` },
  int4: { stored: 'bigint', of: (column) => `${column}::integer` },
  int8: { stored: 'bigint', of: (column) => column },
  timestamptz: { stored: 'bigint', of: (column) => `make_timestamptz(${column})` },
}

/**
 * The keys go into a temporary table of DuckDB and are joined with the file; least and greatest of them leave out row groups. What
 * comes back is compared once more as text, so that a column that DuckDB would compare in another way (numeric, float) need not
 * be asked about there.
 */
export async function findKeys(access: SearchAccess, request: KeySearch): Promise<readonly FoundKey[]> {
  const { definition, file, columns, keys, signal } = request
  const scope: FileScope = { dataset: definition, layout: file.layout }
  // null in all rows of the file: equal to nothing
  if (columns.some((name) => layoutOf(scope, name) === null)) return []
  const timeAt = columns.indexOf(definition.time)
  const types = columns.map((name) => definition.columns[name]!.type)
  const wanted = new Map<string, number[]>()
  const sought: (readonly unknown[])[] = []
  keys.forEach((key, i) => {
    const time = key[timeAt] as bigint
    if (time < file.minTime || time > file.maxTime || key.includes(null)) return
    const text = keyText(types, key)
    const same = wanted.get(text)
    if (same === undefined) {
      wanted.set(text, [i])
      sought.push(key)
    } else same.push(i)
  })
  if (sought.length === 0) return []
  const joined = columns.flatMap((name, at) => {
    const type = types[at]!
    const how = joinedTypes[type]
    const layout = layoutOf(scope, name)!
    // infinity has its own spelling, and the time of a file is finite
    const isJoined =
      how !== undefined &&
      layout.kind === 'native' &&
      layout.type === type &&
      (type !== 'timestamptz' || at === timeAt)
    return isJoined ? [{ name, at, type, how }] : []
  })
  const reader = rowReader(scope, columns, false)
  const local = await access.store.localFile(file.path, signal)
  const found: FoundKey[] = []
  try {
    await access.duckdb.withConnection(signal, async (connection) => {
      await connection.run(
        `create temporary table tidemark_keys (${joined.map(({ how }, i) => `c${i} ${how.stored}`).join(', ')})`,
      )
      try {
        await append(connection, sought, joined)
        const equal = joined.map(({ name, how }, i) => sql`f.${identifier(name)} = ${raw(how.of(`k.c${i}`))}`)
        const { text, values } = printSql(sql`
          select ${join([raw('f.file_row_number'), ...reader.columns.map((column) => sql`f.${column}`)], ', ')}
          from ${raw(`read_parquet(${pathLiteral(local)}, hive_partitioning = false, file_row_number = true)`)} as f
          semi join tidemark_keys as k on ${join(equal, ' and ')}`)
        const result = await connection.stream(text, values as never[])
        for (;;) {
          const chunk = await result.fetchChunk()
          if (signal?.aborted) throw cancelled(signal, `reading ${file.path}`)
          if (chunk === null || chunk.rowCount === 0) break
          for (const row of chunk.getRows()) {
            const place = Number(row[0] as bigint)
            const same = wanted.get(keyText(types, reader.read(row.slice(1))))
            if (same !== undefined) for (const key of same) found.push({ key, place })
          }
        }
      } finally {
        await connection.run('drop table tidemark_keys')
      }
    })
  } catch (error) {
    if (signal?.aborted) throw cancelled(signal, `reading ${file.path}`)
    throw readProblem(file.path, error)
  }
  return found.sort((a, b) => a.key - b.key || a.place - b.place)
}

async function append(
  connection: DuckDBConnection,
  keys: readonly (readonly unknown[])[],
  columns: readonly { readonly at: number; readonly type: ColumnType }[],
): Promise<void> {
  const appender = await connection.createAppender('tidemark_keys')
  for (const key of keys) {
    for (const { at, type } of columns) appendValue(appender, type, key[at])
    appender.endRow()
  }
  appender.closeSync()
}

function appendValue(appender: DuckDBAppender, type: ColumnType, value: unknown): void {
  if (type === 'text' || type === 'uuid') appender.appendVarchar(String(value))
  else if (type === 'bool') appender.appendBoolean(value as boolean)
  else appender.appendBigInt(BigInt(value as bigint | number))
}

/** Equal for keys that PostgreSQL holds to be equal: 1.0 = 1.00, 0 = -0. */
function keyText(types: readonly ColumnType[], key: readonly unknown[]): string {
  let whole = ''
  for (const [i, value] of key.entries()) {
    const text = types[i] === 'numeric' ? trimDecimal(String(value)) : value === 0 ? '0' : textOf(value)
    whole += `${text.length}:${text}`
  }
  return whole
}

function textOf(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function trimDecimal(text: string): string {
  const trimmed = text.includes('.') ? text.replace(/0+$/, '').replace(/\.$/, '') : text
  return trimmed === '-0' ? '0' : trimmed
}
