import { CompiledQuery, type Kysely, sql } from 'kysely'
import { isTidemarkError } from '../util/errors.ts'

/** Rows of a statement: one object each, in the form that answers have. Of outputs with one name the last is kept. */
export interface SqlAnswer {
  readonly columns: readonly string[]
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** The statement that PostgreSQL ran: with its gaps filled by plain SQL, where it was written with time_bucket_gapfill. */
  readonly statement: string
}

export interface RunSqlOptions {
  readonly parameters: readonly unknown[]
  readonly timeoutMs: number
  readonly fillGaps: (text: string, aggregates: ReadonlySet<string>) => Promise<string>
  /** Gives an error of PostgreSQL its code. */
  readonly translateError: (error: unknown) => Error
}

/** In a transaction of its own, in which schema `tidemark` is the last of the search_path. */
export async function runSql(
  // of whatever tables: the statement is text
  kysely: Kysely<never>,
  text: string,
  options: RunSqlOptions,
): Promise<SqlAnswer> {
  const statement = await options.fillGaps(text, await readAggregates(kysely))
  try {
    return await kysely.transaction().execute(async (transaction) => {
      await sql`
        select
          set_config('search_path', current_setting('search_path') || ', tidemark', true),
          set_config('statement_timeout', ${String(options.timeoutMs)}, true)`.execute(transaction)
      const { rows } = await transaction.executeQuery<Record<string, unknown>>(
        CompiledQuery.raw(statement, [...options.parameters]),
      )
      return { columns: Object.keys(rows[0] ?? {}), rows, statement }
    })
  } catch (error) {
    throw isTidemarkError(error) ? error : options.translateError(error)
  }
}

export async function readAggregates(kysely: Kysely<never>): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ name: string }>`
    select distinct proname::text as name from pg_catalog.pg_proc where prokind = 'a'`.execute(kysely)
  return new Set(rows.map(({ name }) => name))
}
