import { TidemarkError } from '../util/errors.ts'
import { problemOfTimeFormat } from './time-format.ts'

export const importFormats = ['csv', 'ndjson', 'access-log', 'parquet'] as const
export type ImportFormat = (typeof importFormats)[number]

/** What may be said about a file. Whatever is left out is guessed from the file and shown in the plan. */
export interface ImportOptions {
  readonly format?: ImportFormat
  /** CSV: one character. */
  readonly separator?: string
  /** CSV: whether the first row holds names. */
  readonly header?: boolean
  /**
   * Column to source. A source is a field's name, a JSON path (`properties.main_model`), a position (`@3`), or
   * `@line` (line number), `@file` (path as given), `@prefix` (what stands before the object of an NDJSON line),
   * `@document` (the whole object).
   */
  readonly map?: Readonly<Record<string, string>>
  /** Column to a constant, read as a field of the file would be. */
  readonly set?: Readonly<Record<string, string>>
  /**
   * The time column put together from several fields: their names with whatever shall stand between, such as
   * `year-month-day` or `Date Time`.
   */
  readonly time?: string
  /** Words that mean null, in every column. Without it NA, null, None, - and the like do, in columns that are not text. */
  readonly nullWords?: readonly string[]
  /** For the time column, or by column: `iso`, `unix-s|ms|us|ns`, `clf`, or a pattern such as `DD/MM/YYYY HH:mm`. */
  readonly timeFormat?: string | Readonly<Record<string, string>>
  /** Zone of times that name none: `UTC`, `Europe/Berlin`, `+02:00`. */
  readonly timeZone?: string
  /** CSV rows with more or fewer fields than the header: refuse them, or fill up with nulls and drop what is too much. Default refuse. */
  readonly ragged?: 'refuse' | 'fill'
  /** CSV: whether a line without any character is a row. Default false. */
  readonly keepBlankLines?: boolean
  /** Stop at the first row that does not fit, instead of keeping it as a dead letter. Default false. */
  readonly strict?: boolean
  /** What to do with a row whose key is in the table. Default error: the import stops, the open batch is not written. */
  readonly onConflict?: 'error' | 'ignore' | 'update'
  /**
   * Records in a transaction; one that fills a new chunk goes on to the chunk's border or 64 MiB. Default 20,000; more
   * costs memory (some 10 MB for each of 10,000 wide rows).
   */
  readonly batchRows?: number
  /** Connections that write at the same time; one when onConflict is not error, so that rows keep their order. Default 2. */
  readonly connections?: number
  /** Records at most. Default all. */
  readonly limit?: number
  /** Dead letters at most; one more stops the import. Default 1,000,000. */
  readonly maxDead?: number
  /** Share of dead letters among all records that stops the import, looked at from 10,000 records on. Default 0.5. */
  readonly maxDeadShare?: number
  /** Bytes of one row at most. Default 4 MiB. */
  readonly maxRecordBytes?: number
  /**
   * Write files of the lake instead of rows of PostgreSQL, and make all of them visible in one transaction at the end: for
   * history. Hypertables only; needs onConflict error. Default false.
   */
  readonly cold?: boolean
  /** Import a file again whose import is done, or begin anew one that was stopped. Default false. */
  readonly again?: boolean
}

export interface ResolvedImportOptions extends ImportOptions {
  readonly ragged: 'refuse' | 'fill'
  readonly keepBlankLines: boolean
  readonly strict: boolean
  readonly onConflict: 'error' | 'ignore' | 'update'
  readonly batchRows: number
  readonly connections: number
  readonly maxDead: number
  readonly maxDeadShare: number
  readonly maxRecordBytes: number
  readonly cold: boolean
  readonly again: boolean
}

export const importDefaults = Object.freeze({
  ragged: 'refuse',
  keepBlankLines: false,
  strict: false,
  onConflict: 'error',
  batchRows: 20_000,
  connections: 2,
  maxDead: 1_000_000,
  maxDeadShare: 0.5,
  maxRecordBytes: 4 * 1024 * 1024,
  cold: false,
  again: false,
} as const) satisfies Partial<ResolvedImportOptions>

/** Records after which `maxDeadShare` is looked at. */
export const deadShareAfter = 10_000

/** @throws TidemarkError TM_CONFIG that names the option. */
export function resolveImportOptions(options: ImportOptions): ResolvedImportOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const resolved = { ...importDefaults, ...given } as ResolvedImportOptions
  const fail = (path: string, problem: string): never => {
    throw new TidemarkError('TM_CONFIG', { path: `import.${path}`, problem })
  }
  const whole = (
    path: 'batchRows' | 'connections' | 'maxRecordBytes' | 'maxDead',
    min: number,
    max: number,
  ): void => {
    const value = resolved[path]
    if (!Number.isInteger(value) || value < min || value > max)
      fail(path, `must be a whole number from ${min} to ${max}, not ${String(value)}`)
  }
  whole('batchRows', 1, 1_000_000)
  whole('connections', 1, 64)
  whole('maxRecordBytes', 16, 256 * 1024 * 1024)
  whole('maxDead', 0, 1_000_000_000)
  if (resolved.limit !== undefined && (!Number.isSafeInteger(resolved.limit) || resolved.limit < 1))
    fail('limit', `must be a whole number from 1, not ${String(resolved.limit)}`)
  if (!(resolved.maxDeadShare > 0 && resolved.maxDeadShare <= 1))
    fail('maxDeadShare', `must be above 0 and at most 1, not ${String(resolved.maxDeadShare)}`)
  if (resolved.format !== undefined && !importFormats.includes(resolved.format))
    fail('format', `must be one of ${importFormats.join(', ')}, not ${JSON.stringify(resolved.format)}`)
  if (!['error', 'ignore', 'update'].includes(resolved.onConflict))
    fail('onConflict', `must be error, ignore or update, not ${JSON.stringify(resolved.onConflict)}`)
  if (resolved.cold && resolved.onConflict !== 'error')
    fail(
      'onConflict',
      `must be error with cold, where no row is overwritten or left out, not ${JSON.stringify(resolved.onConflict)}`,
    )
  if (!['refuse', 'fill'].includes(resolved.ragged))
    fail('ragged', `must be refuse or fill, not ${JSON.stringify(resolved.ragged)}`)
  const { separator } = resolved
  if (separator !== undefined && (separator.length !== 1 || '"\r\n'.includes(separator)))
    fail(
      'separator',
      `must be one character other than a quote or line end, not ${JSON.stringify(separator)}`,
    )
  const formats =
    typeof resolved.timeFormat === 'string'
      ? { timeFormat: resolved.timeFormat }
      : (resolved.timeFormat ?? {})
  for (const [path, format] of Object.entries(formats)) {
    const problem = problemOfTimeFormat(format)
    if (problem !== null)
      fail(path === 'timeFormat' ? path : `timeFormat.${path}`, `${JSON.stringify(format)}: ${problem}`)
  }
  return Object.freeze(resolved)
}
