import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'

export interface KyselyOptions {
  readonly connectionString: string
  /** Connections at most, besides those of the engine. */
  readonly max: number
  /** From PostgreSQL's text of a timestamptz, whatever the session's zone, to the form of an answer. */
  readonly formatTimestamp: (text: string) => string
}

/** Types whose text pg would turn into something that loses digits, by OID. */
const oid = { int8: 20, date: 1082, timestamptz: 1184 }

/**
 * Kysely over the same database, with values in the form that answers have: timestamptz as ISO text in UTC with
 * every digit, int8 as bigint, numeric as decimal text, date as `YYYY-MM-DD`.
 *
 * @example
 * const db = createKysely<Database<typeof config>>({ connectionString, max: 4, formatTimestamp })
 * await db.selectFrom('metrics.cpu').selectAll().limit(10).execute()
 * await db.destroy()
 */
export function createKysely<DB>(options: KyselyOptions): Kysely<DB> {
  const types = new pg.TypeOverrides()
  types.setTypeParser(oid.int8, BigInt)
  types.setTypeParser(oid.date, (text: string) => text)
  types.setTypeParser(oid.timestamptz, options.formatTimestamp)
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.max,
    types,
    allowExitOnIdle: true,
  })
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool }) })
}
