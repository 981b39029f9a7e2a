import type { Kysely } from 'kysely'
import { fillGaps } from '../gapfill/index.ts'
import { createPlainAccess, type PlainAccess } from '../postgres/index.ts'
import { formatInstant, parseInstant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { SqlOptions } from './options.ts'

/** Rows of a statement: one object each, in the form that answers have. */
export interface SqlAnswer {
  /** Of outputs with one name the later ones have a number behind it: `avg`, `avg_2`. */
  readonly columns: readonly string[]
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** The statement that PostgreSQL ran: with its gaps filled by plain SQL, where it was written with time_bucket_gapfill. */
  readonly statement: string
}

export interface PlainSqlLimits {
  readonly maxRows: number
  readonly maxAnswerBytes: number
  readonly queryTimeoutMs: number
}

/** SQL as psql would run it, and Kysely: what is in PostgreSQL, not the lake. Connects when it is first used. */
export class PlainSql<DB> {
  readonly #connectionString: string
  readonly #target: string
  readonly #limits: PlainSqlLimits
  #made: PlainAccess<DB> | null = null

  constructor(connectionString: string, target: string, limits: PlainSqlLimits) {
    this.#connectionString = connectionString
    this.#target = target
    this.#limits = limits
  }

  get kysely(): Kysely<DB> {
    return this.#access.kysely
  }

  /** In a transaction of its own, in which schema `tidemark` is the last of the search_path. */
  async run(text: string, parameters: readonly unknown[], options: SqlOptions): Promise<SqlAnswer> {
    const { maxRows, maxAnswerBytes, queryTimeoutMs } = this.#limits
    const most = positive(options.maxRows ?? maxRows, 'maxRows')
    const timeoutMs = positive(Math.min(options.timeoutMs ?? queryTimeoutMs, queryTimeoutMs), 'timeoutMs')
    const statement = await this.withoutGaps(text)
    const found = await this.#access.run({
      text: statement,
      parameters,
      opening: `select set_config('search_path', current_setting('search_path') || ', tidemark', true)`,
      timeoutMs,
      maxRows: most,
      maxBytes: maxAnswerBytes,
      signal: options.signal ?? null,
    })
    const columns = differentNames(found.columns)
    const rows = found.rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])))
    return { columns, rows, statement }
  }

  /** The statement that `run` runs. @throws TidemarkError TM_GAPFILL */
  withoutGaps(text: string): Promise<string> {
    return fillGaps(text, async () => {
      const { queryTimeoutMs } = this.#limits
      const { rows } = await this.#access.run({
        text: `select distinct proname::text from pg_catalog.pg_proc where prokind = 'a'`,
        parameters: [],
        opening: '',
        timeoutMs: queryTimeoutMs,
        maxRows: Number.POSITIVE_INFINITY,
        maxBytes: Number.POSITIVE_INFINITY,
        signal: null,
      })
      return new Set(rows.map(([name]) => name as string))
    })
  }

  async close(): Promise<void> {
    await this.#made?.close()
  }

  get #access(): PlainAccess<DB> {
    this.#made ??= createPlainAccess<DB>({
      connectionString: this.#connectionString,
      target: this.#target,
      max: 4,
      formatTimestamp: (text) => (text.endsWith('infinity') ? text : formatInstant(parseInstant(text))),
    })
    return this.#made
  }
}

/** Later ones of one name get the first number that no other has. */
function differentNames(names: readonly string[]): string[] {
  const taken = new Set(names)
  const used = new Set<string>()
  return names.map((name) => {
    let free = name
    for (let n = 2; used.has(free) || (free !== name && taken.has(free)); n += 1) free = `${name}_${n}`
    used.add(free)
    return free
  })
}

function positive(value: number, path: string): number {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new TidemarkError('TM_QUERY', { path, problem: `must be a whole number from 1 on, not ${value}` })
}
