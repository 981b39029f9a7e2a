import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { identifier, join, printSql, raw, type Sql, sql } from '../util/sql.ts'
import type { FileLayout, FileReference, ObjectStore, RowStream } from './contract.ts'
import { readCopyStream } from './copy-stream.ts'
import { deletedBits } from './deleted-bits.ts'
import type { DuckDB } from './duckdb.ts'
import { createFeeds } from './feed.ts'
import { fileSelect } from './file-plan.ts'
import { pathLiteral } from './literal-sql.ts'
import { readProblem } from './read-rows.ts'
import { RowSpool } from './row-spool.ts'

/** A file, less the places of rows that no longer count. */
export interface CheckedFile {
  readonly file: Pick<FileReference, 'path' | 'rowCount' | 'layout'>
  readonly deleted: ArrayLike<number>
}

export interface SharedKeyRequest {
  readonly definition: HypertableDefinition
  /** Columns of the key, of any type but jsonb and text[]. */
  readonly columns: readonly string[]
  /** Whether a null makes a key unlike every other. */
  readonly nullsDistinct: boolean
  readonly files: readonly CheckedFile[]
  /** Keys besides: the columns in the order of `columns`, and then the time where it is none of them, as COPY BINARY. */
  readonly others: readonly RowStream[]
  readonly signal: AbortSignal | null
}

export interface TouchedCell {
  readonly tenant: string | null
  readonly start: Instant
}

/** What has to be known of files before they may count. */
export interface LoadChecks {
  /** A key that two rows have, as PostgreSQL compares them: `(time, host)=(2026-01-01 00:00:00+00, a)`. Null: there is none. */
  findSharedKey(request: SharedKeyRequest): Promise<string | null>
  /** Cells of a width that rows of files lie in, with the tenant where the table has one and there are not too many. */
  touchedCells(request: {
    readonly definition: HypertableDefinition
    readonly files: readonly Pick<FileReference, 'path'>[]
    readonly cellMicros: bigint
    readonly signal: AbortSignal | null
  }): Promise<readonly TouchedCell[]>
}

/** More pairs of tenant and cell than this are told as cells of all tenants. */
const maxPairs = 10_000
/** Of one statement. */
const filesAtOnce = 500

/**
 * @example
 * const checks = createLoadChecks({ duckdb, store })
 * await checks.findSharedKey({ definition, columns: ['host', 'time'], nullsDistinct: true, files, others: [], signal: null })
 */
export function createLoadChecks(options: {
  readonly duckdb: DuckDB
  readonly store: ObjectStore
}): LoadChecks {
  const { duckdb, store } = options
  const feeds = createFeeds()

  async function ask(
    connection: DuckDBConnection,
    what: string,
    statement: Sql,
  ): Promise<readonly (readonly DuckDBValue[])[]> {
    const { text, values } = printSql(statement)
    try {
      return (await connection.runAndReadAll(text, values as DuckDBValue[])).getRows()
    } catch (error) {
      throw readProblem(what, error)
    }
  }

  return {
    async findSharedKey({ definition, columns, nullsDistinct, files, others, signal }) {
      const local = await Promise.all(files.map(({ file }) => store.localFile(file.path, signal)))
      return duckdb.withConnection(signal, async (connection) => {
        const branches = files.map(({ file, deleted }, i): Sql => {
          const keys = keyList(columns, file.layout)
          const source = raw(
            `read_parquet(${pathLiteral(local[i]!)}, hive_partitioning = false, file_row_number = true)`,
          )
          return deleted.length === 0
            ? sql`select ${keys} from ${source}`
            : sql`select ${keys} from ${source}
              where get_bit(${deletedBits(file.rowCount, deleted)}, file_row_number::integer) = 0`
        })
        const spools: RowSpool[] = []
        try {
          for (const rows of others) {
            const spool = new RowSpool(keyDefinition(definition, columns), async () => connection, feeds)
            spools.push(spool)
            const { decoder } = spool
            await readCopyStream(
              rows,
              definition.name,
              signal,
              (bytes, view, start, end) => decoder.add(bytes, view, start, end),
              () => spool.relieve(),
            )
            decoder.finish()
            if (decoder.tally.hash.count === 0) continue
            const layout = spool.layout()
            const table = await spool.settle()
            branches.push(
              sql`select ${keyList(columns, layout)} from (select ${fileSelect(layout)} from ${table}) as rows`,
            )
          }
          if (branches.length === 0) return null
          const places = columns.map((_, i) => identifier(`k${i}`))
          const list = join(places, ', ')
          const present = nullsDistinct
            ? sql`where ${join(
                places.map((place) => sql`${place} is not null`),
                ' and ',
              )}`
            : raw('')
          const shown = join(
            places.map((place) => sql`${place}::varchar`),
            ', ',
          )
          const [row] = await ask(
            connection,
            `files of ${definition.name}`,
            sql`
              select ${shown}
              from (${join(branches, ' union all ')}) as keys
              ${present}
              group by ${list}
              having count(*) > 1
              order by ${list}
              limit 1`,
          )
          return row === undefined
            ? null
            : `(${columns.join(', ')})=(${row.map((value) => value ?? 'null').join(', ')})`
        } finally {
          for (const spool of spools) await spool.dispose()
        }
      })
    },

    async touchedCells({ definition, files, cellMicros, signal }) {
      const { tenant } = definition
      const local = await Promise.all(files.map((file) => store.localFile(file.path, signal)))
      const cells = new Map<string, TouchedCell>()
      const at = sql`epoch_us(${identifier(definition.time)})`
      const width = raw(String(cellMicros))
      const start = sql`${at} - ((${at} % ${width}) + ${width}) % ${width}`
      let withTenant = tenant !== null
      for (let from = 0; from < local.length; ) {
        const paths = local.slice(from, from + filesAtOnce).map(pathLiteral)
        const source = raw(
          `read_parquet([${paths.join(', ')}], hive_partitioning = false, union_by_name = true)`,
        )
        const who = withTenant ? sql`${identifier(tenant!)}::varchar` : raw('null')
        const rows = await duckdb.withConnection(signal, (connection) =>
          ask(
            connection,
            `files of ${definition.name}`,
            sql`select distinct ${who}, ${start} from ${source} limit ${raw(String(withTenant ? maxPairs + 1 : 100_000_000))}`,
          ),
        )
        if (withTenant && cells.size + rows.length > maxPairs) {
          withTenant = false
          cells.clear()
          from = 0
          continue
        }
        for (const [name, micros] of rows as [string | null, bigint][])
          cells.set(`${micros} ${name ?? ''}`, { tenant: name, start: micros })
        from += filesAtOnce
      }
      return [...cells.values()]
    },
  }
}

/** A table of the key's columns, for rows of those alone. */
function keyDefinition(definition: HypertableDefinition, columns: readonly string[]): HypertableDefinition {
  const names = columns.includes(definition.time) ? columns : [...columns, definition.time]
  const own = Object.fromEntries(names.map((name) => [name, definition.columns[name]!]))
  return { ...definition, columns: own, tenant: null, orderBy: [] }
}

function keyList(columns: readonly string[], layout: FileLayout): Sql {
  return join(
    columns.map((name, i) => sql`${keyValue(name, layout)} as ${identifier(`k${i}`)}`),
    ', ',
  )
}

/** Equal where PostgreSQL holds the values to be equal, in whatever way files have them. */
function keyValue(name: string, layout: FileLayout): Sql {
  const column = identifier(name)
  const found = Object.hasOwn(layout.columns, name) ? layout.columns[name]! : null
  // a column that was added after the file was written
  if (found === null) return raw('null')
  switch (found.type) {
    case 'float4':
    case 'float8':
      // -0 = 0
      return sql`${column}::double + 0`
    case 'numeric': {
      const text = sql`${column}::varchar`
      return sql`case when contains(${text}, '.') then rtrim(rtrim(${text}, '0'), '.') else ${text} end`
    }
    case 'timestamptz':
      if (name === layout.time) return column
      return found.kind === 'wideInstant'
        ? column
        : sql`case
            when ${column} = 'infinity'::timestamptz then 9223372036854775807
            when ${column} = '-infinity'::timestamptz then (-9223372036854775808)
            else epoch_us(${column}) - 946684800000000 end`
    default:
      return column
  }
}
