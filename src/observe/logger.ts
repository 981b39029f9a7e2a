import { type Logger, pino } from 'pino'
import { withoutSecrets } from '../access/index.ts'
import type { LogLevel } from '../schema/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { humanLine } from './human-lines.ts'

export interface LoggerOptions {
  readonly level: LogLevel
  /** `json`: one object a line. `human`: for a terminal. */
  readonly format: 'json' | 'human'
  /** Where lines go: they end with a line break. Default: standard error, so that answers on standard output stay alone. */
  readonly write?: (line: string) => void
}

/** Whatever is logged under these names is not shown, however it came there. */
const redacted = [
  'authorization',
  'cookie',
  'password',
  'secret',
  'token',
  'apiKey',
  'connectionString',
  'set-cookie',
]
const paths = redacted.flatMap((name) => {
  const key = /^\w+$/.test(name) ? `.${name}` : `["${name}"]`
  return [key.replace(/^\./, ''), `*${key}`, `*.*${key}`]
})

/**
 * Structured logs: JSON with `time`, `level`, `msg` and what belongs to it. Keys and tokens are taken out of every line, wherever in it
 * they stand.
 *
 * @example
 * const log = createLogger({ level: 'info', format: 'json' })
 * log.info({ dataset: 'metrics.cpu' }, 'migrated')
 */
export function createLogger({ level, format, write }: LoggerOptions): Logger {
  const sink = write ?? ((line: string) => void process.stderr.write(line))
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths, censor: '[redacted]' },
      serializers: { err: describeError, error: describeError },
    },
    {
      write: (line: string) => {
        const clean = cleanLine(line)
        sink(format === 'json' ? clean : humanLine(clean))
      },
    },
  )
}

/** Value by value: a secret that ends in a quote would take the end of its text with it. */
function cleanLine(line: string): string {
  if (withoutSecrets(line) === line) return line
  const clean = (_key: string, value: unknown): unknown =>
    typeof value === 'string' ? withoutSecrets(value) : value
  return `${JSON.stringify(JSON.parse(line, clean))}\n`
}

interface DescribedError {
  readonly type: string
  readonly code?: string
  readonly message: string
  readonly stack?: string
  readonly cause?: DescribedError
}

const maxCauses = 4

/** Name, code, message and place: what else an error carries (parameters, details of PostgreSQL) can hold rows. */
export function describeError(error: unknown, depth = 0): DescribedError | unknown {
  if (!(error instanceof Error)) return error
  const code = (error as { readonly code?: unknown }).code
  const { stack, cause } = error
  return {
    type: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    message: error.message,
    // where one of ours was thrown is said by its code
    ...(stack === undefined || (isTidemarkError(error) && error.status < 500) ? {} : { stack }),
    ...(cause instanceof Error && depth < maxCauses ? { cause: describeError(cause, depth + 1) } : {}),
  }
}
