import { boundMicros, microsPerDay, parseInterval, TimeProblem } from '../time/index.ts'
import type { HypertableDefinition } from './definition.ts'
import { checkKeys, type ProblemList, suggest } from './problems.ts'
import {
  columnsOfSources,
  mayBeLeftOut,
  type ProtocolKind,
  type ProtocolSource,
  protocolSources,
} from './protocol-sources.ts'

/** A hypertable that takes the points of a protocol. */
export interface RouteOptions {
  readonly into: HypertableDefinition
  /** Columns by the name of what they take, where the names differ: `{ 'service.name': 'service' }`. */
  readonly columns?: Readonly<Record<string, string>>
}

export interface LineRouteOptions extends RouteOptions {
  /** Default: the table's name, with its schema or without. */
  readonly measurement?: string
}

/** Where the events of browsers go; docs/reference/analytics-api.md. */
export interface AnalyticsOptions extends RouteOptions {
  /** Origins whose pages may send: `['https://example.org']`. The server's own always may. Default '*': all. */
  readonly origins?: '*' | readonly string[]
  /** Events that are older when they come are refused: a wrong clock must not make chunks of all times. Default '30 days'. */
  readonly maxAge?: string
}

/** Where the points of protocols go. A hypertable stands for `{ into: it }`. */
export interface ProtocolOptions {
  readonly lineProtocol?: {
    /** One measurement each: its tags and fields go to the columns of their names, others to the jsonb column `rest`. */
    readonly into?: readonly (HypertableDefinition | LineRouteOptions)[]
    /** Every other measurement; see `metricsTable`. Without it they are refused. */
    readonly catchAll?: HypertableDefinition | RouteOptions
  }
  /** See `samplesTable`. */
  readonly prometheus?: HypertableDefinition | RouteOptions
  readonly otlp?: {
    readonly metrics?: HypertableDefinition | RouteOptions
    readonly logs?: HypertableDefinition | RouteOptions
    /** Every span. */
    readonly spans?: HypertableDefinition | RouteOptions
    /** Spans that are calls to models, by their gen_ai attributes. */
    readonly genAi?: HypertableDefinition | RouteOptions
  }
  /** `POST /api/v1/analytics`, what the tracker sends. The hypertable has to know event ids (`dedupe`). */
  readonly analytics?: HypertableDefinition | AnalyticsOptions
}

export interface Route {
  readonly into: HypertableDefinition
  readonly columns: Readonly<Record<string, string>>
}

export interface LineRoute extends Route {
  readonly measurement: string | null
}

export interface AnalyticsRoute extends Route {
  readonly origins: '*' | readonly string[]
  readonly maxAgeMicros: bigint
}

/** Null: the protocol is not taken. */
export interface ProtocolConfig {
  readonly lineProtocol: { readonly into: readonly LineRoute[]; readonly catchAll: Route | null } | null
  readonly prometheus: Route | null
  readonly otlp: {
    readonly metrics: Route | null
    readonly logs: Route | null
    readonly spans: Route | null
    readonly genAi: Route | null
  }
  readonly analytics: AnalyticsRoute | null
}

export const noProtocols: ProtocolConfig = Object.freeze({
  lineProtocol: null,
  prometheus: null,
  otlp: Object.freeze({ metrics: null, logs: null, spans: null, genAi: null }),
  analytics: null,
})

/** Keys of the section that are about protocols. */
export const protocolKeys = ['lineProtocol', 'prometheus', 'otlp', 'analytics'] as const

/** Reads and checks `lineProtocol`, `prometheus`, `otlp` and `analytics`, given with their path: `.ingest`. */
export function readProtocols(
  problems: ProblemList,
  path: string,
  input: Readonly<Record<string, unknown>>,
  datasets: readonly unknown[],
): ProtocolConfig {
  const reader = new RouteReader(problems, datasets)
  const otlpInput = input['otlp'] ?? {}
  const kinds = ['metrics', 'logs', 'spans', 'genAi'] as const
  const otlp = checkKeys(problems, `${path}.otlp`, otlpInput, kinds) ? otlpInput : {}
  const one = (kind: (typeof kinds)[number]): Route | null =>
    reader.route(`${path}.otlp.${kind}`, otlp[kind], kind)
  return Object.freeze({
    lineProtocol: reader.lineProtocol(`${path}.lineProtocol`, input['lineProtocol']),
    prometheus: reader.route(`${path}.prometheus`, input['prometheus'], 'prometheus'),
    otlp: Object.freeze({
      metrics: one('metrics'),
      logs: one('logs'),
      spans: one('spans'),
      genAi: one('genAi'),
    }),
    analytics: reader.analytics(`${path}.analytics`, input['analytics']),
  })
}

class RouteReader {
  readonly #problems: ProblemList
  readonly #datasets: readonly unknown[]

  constructor(problems: ProblemList, datasets: readonly unknown[]) {
    this.#problems = problems
    this.#datasets = datasets
  }

  lineProtocol(path: string, input: unknown): ProtocolConfig['lineProtocol'] {
    if (input === undefined || input === null) return null
    if (!checkKeys(this.#problems, path, input, ['into', 'catchAll'])) return null
    const list = input['into'] ?? []
    if (!Array.isArray(list)) this.#problems.add(`${path}.into`, 'must be a list of hypertables')
    const into = (Array.isArray(list) ? list : []).flatMap((entry: unknown, i) => {
      const at = `${path}.into[${i}]`
      const route = this.#read(at, entry, ['measurement'])
      if (route === null) return []
      const measurement = isDefinition(entry) ? undefined : (entry as LineRouteOptions).measurement
      if (measurement !== undefined && (typeof measurement !== 'string' || measurement === ''))
        this.#problems.add(`${at}.measurement`, 'must be a text')
      return [Object.freeze({ ...route, measurement: measurement ?? null })]
    })
    const seen = new Map<string, number>()
    into.forEach(({ into: dataset, measurement }, i) => {
      for (const name of measurement === null ? [dataset.table, dataset.name] : [measurement]) {
        const other = seen.get(name)
        if (other !== undefined && other !== i)
          this.#problems.add(
            `${path}.into[${i}]`,
            `takes the measurement "${name}", as into[${other}] does; say measurement for one of them`,
          )
        seen.set(name, i)
      }
    })
    const catchAll = this.route(`${path}.catchAll`, input['catchAll'], 'catchAll')
    if (into.length === 0 && catchAll === null && input['catchAll'] === undefined)
      this.#problems.add(path, 'takes nothing; give into, or catchAll')
    return Object.freeze({ into: Object.freeze(into), catchAll })
  }

  /** A protocol that has a fixed list of sources. */
  route(path: string, input: unknown, kind: ProtocolKind): Route | null {
    if (input === undefined || input === null) return null
    const route = this.#read(path, input, [])
    if (route !== null) this.#checkSources(path, route, protocolSources[kind])
    return route
  }

  analytics(path: string, input: unknown): AnalyticsRoute | null {
    if (input === undefined || input === null) return null
    const route = this.#read(path, input, ['origins', 'maxAge'])
    if (route === null) return null
    const sources = protocolSources.analytics
    this.#checkSources(path, route, sources)
    for (const source of Object.keys(route.columns))
      if (!sources.some(({ name }) => name === source))
        this.#problems.add(
          `${path}.columns.${source}`,
          `"${source}" is nothing that events have${suggest(
            source,
            sources.map(({ name }) => name),
          )}`,
        )
    this.#checkIds(path, route)
    const options: Partial<AnalyticsOptions> = isDefinition(input) ? {} : (input as AnalyticsOptions)
    return Object.freeze({
      ...route,
      origins: this.#origins(`${path}.origins`, options.origins ?? '*'),
      maxAgeMicros: this.#maxAge(`${path}.maxAge`, options.maxAge ?? '30 days'),
    })
  }

  /** What a closing page sends comes twice as a rule: without ids it would count twice. */
  #checkIds(path: string, { into, columns }: Route): void {
    const found = [...columnsOfSources(into, protocolSources.analytics, columns)]
    const id = found.find(([{ name }]) => name === 'id')?.[1]
    if (id === undefined)
      this.#problems.add(
        path,
        `${into.name} has no column for the id of an event; add event_id: t.uuid().nullable()`,
      )
    else if (into.dedupe?.by !== id)
      this.#problems.add(
        path,
        `${into.name} does not know the ids of events, which come again when an answer is lost; add dedupe: { by: '${id}', within: '7 days' }`,
      )
    else if (boundMicros(into.dedupe.within).least < 7n * microsPerDay)
      this.#problems.add(
        path,
        `${into.name} knows event ids for ${into.dedupe.within.text}; trackers send again for longer: dedupe.within must be '7 days' or more`,
      )
  }

  #origins(path: string, input: unknown): AnalyticsRoute['origins'] {
    if (input === '*') return input
    const isList = Array.isArray(input) && input.length > 0
    const isOrigin = (text: unknown): boolean =>
      typeof text === 'string' && URL.canParse(text) && new URL(text).origin === text
    if (isList && input.every(isOrigin)) return Object.freeze([...input])
    this.#problems.add(
      path,
      `${JSON.stringify(input)} is neither '*' nor a list of origins such as ['https://example.org'], without a path or a slash at the end`,
    )
    return '*'
  }

  #maxAge(path: string, input: string): bigint {
    try {
      const { least } = boundMicros(parseInterval(input))
      if (least >= microsPerDay) return least
      this.#problems.add(
        path,
        `'${input}' is shorter than a day; browsers keep events while they are offline`,
      )
    } catch (error) {
      if (!(error instanceof TimeProblem)) throw error
      this.#problems.add(path, error.problem)
    }
    return microsPerDay
  }

  #read(path: string, input: unknown, more: readonly string[]): Route | null {
    if (isDefinition(input))
      return this.#into(path, input) ? Object.freeze({ into: input, columns: {} }) : null
    if (!checkKeys(this.#problems, path, input, ['into', 'columns', ...more])) return null
    const into = input['into']
    if (!isDefinition(into)) {
      this.#problems.add(`${path}.into`, 'must be a hypertable')
      return null
    }
    if (!this.#into(`${path}.into`, into)) return null
    const columns = input['columns'] ?? {}
    if (typeof columns !== 'object' || columns === null || Array.isArray(columns)) {
      this.#problems.add(`${path}.columns`, "must be an object such as { 'service.name': 'service' }")
      return null
    }
    const names = Object.keys(into.columns)
    const taken = new Map<unknown, string>()
    for (const [source, column] of Object.entries(columns)) {
      const at = `${path}.columns.${source}`
      if (typeof column !== 'string' || !Object.hasOwn(into.columns, column))
        this.#problems.add(
          at,
          `${JSON.stringify(column)} is not a column of ${into.name}${suggest(String(column), names)}`,
        )
      else if (column === into.time)
        this.#problems.add(at, `"${column}" is the time column, which takes the point's time`)
      const other = taken.get(column)
      if (other !== undefined)
        this.#problems.add(at, `"${String(column)}" takes "${other}" already; a column takes one of them`)
      taken.set(column, source)
    }
    return Object.freeze({ into, columns: Object.freeze({ ...columns }) as Route['columns'] })
  }

  #into(path: string, into: HypertableDefinition): boolean {
    if (into.kind !== 'hypertable') {
      this.#problems.add(path, `${String(into.name)} is not a hypertable; points have a time`)
      return false
    }
    if (!this.#datasets.includes(into))
      this.#problems.add(path, `${into.name} is not in the list of datasets; add it`)
    return true
  }

  #checkSources(path: string, route: Route, sources: readonly ProtocolSource[]): void {
    const { into } = route
    const columns = columnsOfSources(into, sources, route.columns)
    // a column that was said for a label or an attribute of its own name
    const filled = new Set([into.time, ...Object.values(route.columns)])
    for (const [source, name] of columns) {
      filled.add(name)
      const column = into.columns[name]
      if (column === undefined) continue
      if (!source.types.includes(column.type))
        this.#problems.add(
          path,
          `column "${name}" of ${into.name} is ${column.type}; ${source.name} goes to ${source.types.join(' or ')}`,
        )
      else if (!source.isAlways && !mayBeLeftOut(column))
        this.#problems.add(
          path,
          `column "${name}" of ${into.name} must be nullable or have a default: not every point has ${source.name}`,
        )
    }
    // without a list of names that points may have beside, only these can fill a column
    const takesNames = sources.some(({ name }) => name === 'rest')
    for (const [name, column] of Object.entries(into.columns)) {
      if (filled.has(name) || mayBeLeftOut(column) || name === into.tenant) continue
      if (!takesNames)
        this.#problems.add(
          path,
          `nothing fills column "${name}" of ${into.name}; make it nullable, give it a default, or name it as one of ${list(sources)}`,
        )
    }
    for (const source of sources)
      if (source.isAlways && needed.has(source.name) && !columns.has(source))
        this.#problems.add(
          path,
          `${into.name} has no column for ${source.name}; add ${source.name}: ${source.types[0]}`,
        )
  }
}

/** Without them a point says nothing. */
const needed = new Set(['metric', 'measurement', 'tags', 'fields', 'value'])

function list(sources: readonly ProtocolSource[]): string {
  return sources.map(({ name }) => name).join(', ')
}

function isDefinition(value: unknown): value is HypertableDefinition {
  return (
    typeof value === 'object' && value !== null && 'kind' in value && 'columns' in value && 'name' in value
  )
}
