import { canonicalJson, everything, parseQuery, type QueryNode } from '../query/index.ts'
import {
  type QueryableDefinition,
  type StoredDefinition,
  type TenantScope,
  tenantRule,
} from '../schema/index.ts'
import {
  approximateMicros,
  type BucketSpec,
  bucketStart,
  formatInstant,
  type Instant,
  nextBucket,
  parseInstant,
  type TimeRange,
} from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { toJsonText } from '../util/json.ts'
import type { LiveCaller } from './contract.ts'
import { type RowSort, readSort } from './sort-rows.ts'
import type { LiveItem } from './version.ts'

/** What is asked about which part of time. */
export type Asked =
  /** No time at all: a plain table. */
  | { readonly kind: 'always' }
  | { readonly kind: 'range'; readonly range: TimeRange }
  /** The end has come before the beginning: there is nothing. */
  | { readonly kind: 'nothing' }

export interface QuestionAnswer {
  readonly items: readonly LiveItem[]
  readonly columns: string
  readonly asOf: string
}

const minSlideMs = 1000
const maxSlideMs = 60_000

/** A query that is kept up to date: what of the database it looks at, how it is asked, and what tells its rows apart. */
export class Question {
  /** Equal for callers who may share one computation. */
  readonly id: string
  readonly #caller: LiveCaller
  readonly #dataset: QueryableDefinition
  readonly #query: Readonly<Record<string, unknown>>
  readonly #node: QueryNode
  readonly #sort: RowSort | null
  readonly #maxRows: number
  /** By dataset whose rows are looked at, as the change log names him; null: everybody's. */
  readonly #tenants: ReadonlyMap<string, string | null>
  /** How often its range has to be looked at; null: it stands still. */
  readonly slideMs: number | null
  /** Its end moves with the time, so rows of now may lie behind it. */
  readonly hasMovingEnd: boolean
  /** Buckets can be asked for one by one; null: it is asked whole. */
  readonly bucket: BucketSpec | null

  /** @throws TidemarkError TM_QUERY, TM_LIMIT, TM_UNKNOWN_DATASET, TM_FORBIDDEN */
  constructor(caller: LiveCaller, input: unknown, maxRows: number) {
    const { dataset: name, ...given } = asObject(input)
    if (typeof name !== 'string') refuse('dataset', 'give the name of a dataset, e.g. "metrics.cpu"')
    this.#caller = caller
    this.#maxRows = maxRows
    this.#dataset = caller.engine.queryable(name as string)
    const { query, sort } = readSort(this.#dataset, given, maxRows)
    this.#query = query
    this.#sort = sort
    const now = caller.engine.now()
    this.#node = this.#parse(now)
    if (this.#node.kind === 'rows' && this.#node.cursor !== null)
      refuse('cursor', 'a live query has no pages; give a range or a limit')
    if (this.#node.limit !== null && this.#node.limit > maxRows && sort === null)
      throw tooManyRows(this.#node.limit, maxRows)
    const moved = this.#moved(now)
    this.slideMs = moved === 'not' ? null : this.#slideMs()
    this.hasMovingEnd = moved === 'end'
    this.bucket = moved === 'conditions' ? null : bucketAlone(this.#node)
    const { scope } = caller.engine
    const dimensions = this.#node.kind === 'aggregate' ? (this.#node.dimensions ?? []) : []
    this.#tenants = new Map(
      [this.#node.dataset, ...dimensions.map(({ table }) => table)].flatMap((source) => {
        const rule = tenantRule(source, scope)
        if (rule.kind === 'nothing') return []
        return [[source.name, rule.kind === 'own' ? String(rule.value) : null]]
      }),
    )
    const datasets = caller.datasets === null ? null : [...caller.datasets].sort()
    this.id = canonicalJson([this.#dataset.name, query, sort?.order ?? null, scope, datasets])
  }

  /** Whose rows are meant. */
  get scope(): TenantScope {
    return this.#caller.engine.scope
  }

  /** Names of the datasets whose changes may change the answer. */
  get watches(): readonly string[] {
    return [...this.#tenants.keys()]
  }

  now(): Instant {
    return this.#caller.engine.now()
  }

  /** Whether rows of this tenant (null: of any) can be part of the answer. */
  isOf(dataset: string, tenant: string | null): boolean {
    const own = this.#tenants.get(dataset)
    return tenant === null || own === null || tenant === own
  }

  /** Whether its changes have a place in the time that is asked about. */
  isMain(dataset: string): boolean {
    return dataset === this.#node.dataset.name
  }

  /** What is asked about at a moment. */
  at(now: Instant): Asked {
    // without ends it is all time, of which a part can be asked for
    if (this.#node.range === null)
      return this.#node.dataset.kind === 'hypertable'
        ? { kind: 'range', range: everything }
        : { kind: 'always' }
    try {
      const { range } = this.slideMs === null ? this.#node : this.#parse(now)
      return range === null ? { kind: 'always' } : { kind: 'range', range }
    } catch (error) {
      // it could be parsed when the question was asked: since then its end has come before its beginning
      if (isTidemarkError(error) && error.code === 'TM_QUERY') return { kind: 'nothing' }
      throw error
    }
  }

  /** The whole buckets around a range; null where it has no end. */
  bucketsAround(range: TimeRange): TimeRange | null {
    if (this.bucket === null || isOpen(range)) return null
    return { from: bucketStart(this.bucket, range.from), to: nextBucket(this.bucket, range.to - 1n) }
  }

  async ask(asked: Asked, signal: AbortSignal): Promise<QuestionAnswer | null> {
    if (asked.kind === 'nothing') return null
    const { engine } = this.#caller
    const range = asked.kind === 'range' ? rangeText(asked.range) : {}
    const answer = await engine.queryUnknown(
      this.#dataset.name,
      { ...this.#query, ...this.#columns, ...range },
      { signal },
    )
    const rows = this.#sort === null ? answer.rows : this.#sort.apply(answer.rows)
    if (rows.length > this.#maxRows) throw tooManyRows(rows.length, this.#maxRows)
    const shown = this.#shown
    const columns = shown === null ? answer.columns : answer.columns.filter(({ name }) => shown.has(name))
    return {
      items: this.#items(rows, shown),
      columns: toJsonText(columns),
      asOf: answer.plan.takenAt,
    }
  }

  #items(
    rows: readonly Readonly<Record<string, unknown>>[],
    shown: ReadonlySet<string> | null,
  ): readonly LiveItem[] {
    const node = this.#node
    const keys = keyColumns(node)
    const hasBucket = node.kind === 'aggregate' && node.bucket !== null
    const seen = new Map<string, number>()
    return rows.map((row) => {
      const visible =
        shown === null ? row : Object.fromEntries(Object.entries(row).filter(([name]) => shown.has(name)))
      const text = toJsonText(visible)
      let key: string
      if (keys !== null) key = toJsonText(keys.map((name) => row[name]))
      else {
        // without a key rows may be equal: the first of them, the second, …
        const times = (seen.get(text) ?? 0) + 1
        seen.set(text, times)
        key = `${text} ${times}`
      }
      return { key, text, bucket: hasBucket ? parseInstant(row['bucket'] as string) : null }
    })
  }

  /** What has to be asked for besides: what tells rows apart, and what they are sorted by. */
  get #columns(): { readonly columns?: readonly string[] } {
    const node = this.#node
    if (node.kind === 'aggregate') return {}
    return {
      columns: [...new Set([...node.columns, ...(keyColumns(node) ?? []), ...(this.#sort?.columns ?? [])])],
    }
  }

  get #shown(): ReadonlySet<string> | null {
    return this.#node.kind === 'aggregate' ? null : new Set(this.#node.columns)
  }

  #parse(now: Instant): QueryNode {
    return parseQuery(this.#query, { dataset: this.#dataset, clock: { now: () => now } })
  }

  /** What is another a second later. */
  #moved(now: Instant): 'not' | 'beginning' | 'end' | 'conditions' {
    let later: QueryNode
    try {
      later = this.#parse(now + 1_000_000n)
    } catch {
      return 'end'
    }
    if (conditions(later) !== conditions(this.#node)) return 'conditions'
    if (later.range?.to !== this.#node.range?.to) return 'end'
    return later.range?.from === this.#node.range?.from ? 'not' : 'beginning'
  }

  /** Often enough that nobody sees it jump: ten times a bucket, a hundred times a range. */
  #slideMs(): number {
    const node = this.#node
    const bucket = node.kind === 'aggregate' ? node.bucket : null
    const range = node.range
    const micros =
      bucket !== null
        ? approximateMicros(bucket.every) / 10n
        : range !== null && !isOpen(range)
          ? (range.to - range.from) / 100n
          : 10_000_000n
    return Math.min(maxSlideMs, Math.max(minSlideMs, Number(micros / 1000n)))
  }
}

function isOpen({ from, to }: TimeRange): boolean {
  return from <= everything.from || to >= everything.to
}

/** Ends that are open stay so; the others are what they were when the question was looked at, whenever it is answered. */
function rangeText({ from, to }: TimeRange): { from?: string; to?: string } {
  return {
    ...(from <= everything.from ? {} : { from: formatInstant(from) }),
    ...(to >= everything.to ? {} : { to: formatInstant(to) }),
  }
}

function conditions(node: QueryNode): string {
  if (node.kind !== 'aggregate') return canonicalJson(node.where)
  const { where, keysWhere, having, select } = node
  return canonicalJson([where, keysWhere ?? null, having, select])
}

/** Its rows are of one bucket each, and come bucket by bucket: then some of them can be put in the place of others. */
function bucketAlone(node: QueryNode): BucketSpec | null {
  if (node.kind !== 'aggregate' || node.fill.kind !== 'none' || node.limit !== null) return null
  const first = node.order[0]
  return first === undefined || (first.by === 'bucket' && first.direction === 'asc') ? node.bucket : null
}

/** Columns whose values no two rows of the answer share; null: there are none. */
function keyColumns(node: QueryNode): readonly string[] | null {
  if (node.kind === 'aggregate')
    return [...(node.bucket === null ? [] : ['bucket']), ...node.by.map(({ name }) => name)]
  return node.kind === 'latest' ? node.by : (node.dataset as StoredDefinition).primaryKey
}

function tooManyRows(rows: number, limit: number): TidemarkError {
  return new TidemarkError('TM_LIMIT', {
    what: 'the number of rows of a live answer',
    value: String(rows),
    limit: String(limit),
    todo: 'ask for wider buckets, fewer groups or a shorter range, or give a smaller limit',
  })
}

function asObject(input: unknown): Readonly<Record<string, unknown>> {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    refuse(
      'query',
      'give a query as an object, with the name of its dataset: { "dataset": "metrics.cpu", … }',
    )
  return input as Readonly<Record<string, unknown>>
}

function refuse(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}
