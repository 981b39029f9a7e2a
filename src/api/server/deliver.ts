import { createHash } from 'node:crypto'
import type { Routed } from '../../protocols/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { ScopedTidemark } from '../../scoped.ts'

/** Points of a request, or a piece of it, that are kept as dead letters; the others are counted. Rows that are refused are all kept. */
export const maxKeptProblems = 10_000

export interface DeliveryOptions {
  /** The way in, for dead letters. */
  readonly source: string
  readonly signal: AbortSignal
  /** Of the body, by which a request that comes again is known; null: it is written again. */
  readonly digest: string | null
}

/** What became of the points of one request. */
export class Delivery {
  readonly #tm: ScopedTidemark
  readonly #options: DeliveryOptions
  /** Points that were not taken. */
  refused = 0
  /** What was wrong with the first of them. */
  first: string | null = null
  /** Left out by steps of enrichment. */
  dropped = 0

  constructor(tm: ScopedTidemark, options: DeliveryOptions) {
    this.#tm = tm
    this.#options = options
  }

  /** Keeps what could not be decoded. `dataset` is where it would have gone, or the protocol's name. */
  async keep(
    dataset: string,
    { problems, problemCount }: Pick<Routed, 'problems' | 'problemCount'>,
    rawOf: (index: number) => unknown = () => null,
  ): Promise<void> {
    if (problemCount === 0) return
    this.#count(problemCount, problems[0]!.message)
    await this.#tm.keepStrays(
      this.#options.source,
      problems.map(({ index, field, value, reason, message, text }) => ({
        dataset,
        index,
        column: field,
        value,
        reason,
        message,
        raw: text ?? rawOf(index),
      })),
    )
  }

  /**
   * Writes rows to their tables, and resolves when all are committed. What has no table is kept first: should a transaction fail, the
   * sender comes again, and a dead letter that is there twice does less harm than a row.
   */
  async write(dataset: string, routed: Routed, rawOf: (index: number) => unknown): Promise<void> {
    await this.keep(dataset, routed, rawOf)
    const results = await Promise.allSettled(
      routed.tables.map(async ({ into, rows }) => {
        const { source, signal, digest } = this.#options
        const report = await this.#tm.ingestUnknown(into.name, rows, {
          onConflict: ruleOf(into),
          source,
          signal,
          sentDigest: digest,
          isReserved: true,
        })
        this.dropped += report.dropped.count
        const { count, rows: rejected } = report.rejected
        if (count > 0) this.#count(count, `${into.name}: ${rejected[0]!.message}`)
      }),
    )
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  #count(more: number, message: string): void {
    this.refused += more
    this.first ??= message
  }
}

/**
 * A point that comes again takes the place of the one before, as those protocols have it: by primary key. Without one nothing tells
 * two points from one that came twice.
 */
function ruleOf({
  primaryKey,
  appendOnly,
  indexes,
}: Pick<HypertableDefinition, 'primaryKey' | 'appendOnly' | 'indexes'>): 'error' | 'ignore' | 'update' {
  // with nothing to compare it goes the quick way, and what is late may be merged into aggregates
  if (primaryKey === null && !indexes.some(({ unique }) => unique)) return 'error'
  return primaryKey !== null && !appendOnly ? 'update' : 'ignore'
}

/** What came, by the index of its point; points that no table takes are few, so they are looked for only then. */
export function rawBy<P extends { readonly index: number }>(
  points: readonly P[],
  show: (point: P) => unknown,
): (index: number) => unknown {
  let byIndex: ReadonlyMap<number, P> | null = null
  return (index) => {
    byIndex ??= new Map(points.map((point) => [point.index, point]))
    const point = byIndex.get(index)
    return point === undefined ? null : show(point)
  }
}

export function digestOf(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex')
}
