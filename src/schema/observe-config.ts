import type { ProblemList } from './problems.ts'
import type { Section } from './section.ts'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

export type LogLevel = (typeof logLevels)[number]

/** What the server tells of itself: options of the section `server`; docs/guide/observing.md. */
export interface ObserveOptions {
  /**
   * Who may read `GET /metrics`: a scope, or 'public'. Default 'admin'. Metrics name datasets, routes and jobs, and are of all tenants
   * together, so a credential of one tenant does not open them.
   */
  readonly metrics?: 'public' | 'query' | 'admin'
  /** Queries that take longer are logged with their plan. Default '500ms'; null: none are. */
  readonly slowQuery?: string | null
  /** Whether slow queries are logged with the values of their conditions. Default false: values are '?'. */
  readonly logValues?: boolean
  /** Of the log; `--log-level` goes before it. Default 'info'. */
  readonly logLevel?: LogLevel
}

export interface ObserveConfig {
  readonly metrics: 'public' | 'query' | 'admin'
  /** Null: none are slow. */
  readonly slowQueryMs: number | null
  readonly logValues: boolean
  readonly logLevel: LogLevel
}

export const observeDefaults = Object.freeze({
  metrics: 'admin',
  slowQueryMs: 500,
  logValues: false,
  logLevel: 'info',
} satisfies ObserveConfig)

/** Complete by its type. */
export const observeKeys: Readonly<Record<keyof ObserveOptions, true>> = {
  metrics: true,
  slowQuery: true,
  logValues: true,
  logLevel: true,
}

/** Those of the section `server` that are about what it tells of itself. */
export function readObserve(problems: ProblemList, server: Section): ObserveConfig {
  const d = observeDefaults
  const oneOf = <T extends string>(key: string, words: readonly T[], fallback: T): T => {
    const value = server.input[key] ?? fallback
    if ((words as readonly unknown[]).includes(value)) return value as T
    problems.add(`.server.${key}`, `must be one of ${words.join(', ')}`)
    return fallback
  }
  return {
    metrics: oneOf('metrics', ['public', 'query', 'admin'], d.metrics),
    slowQueryMs: server.input['slowQuery'] === null ? null : server.millis('slowQuery', d.slowQueryMs),
    logValues: server.boolean('logValues', d.logValues),
    logLevel: oneOf('logLevel', logLevels, d.logLevel),
  }
}
