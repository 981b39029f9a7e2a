import type { IngestReport, PipelineCommit } from '../pipeline/index.ts'
import type { EventsAnswer, ProductKind } from '../product/index.ts'
import type { Answer, AnswerPlan } from '../query/index.ts'
import type { QueryableDefinition, StoredDefinition } from '../schema/index.ts'
import type { CallOrigin } from './options.ts'

/** A query or a question that has come to its end, well or not. */
export interface EndedQuery {
  /** `query`, or the kind of a question about events. */
  readonly kind: 'query' | ProductKind
  readonly dataset: QueryableDefinition
  /** As it came. */
  readonly question: unknown
  readonly ms: number
  /** Null: it failed. */
  readonly rows: number | null
  readonly plan: AnswerPlan | EventsAnswer<unknown>['plan'] | null
  /** What it failed with; null: it did not. */
  readonly error: unknown
  readonly origin: CallOrigin | null
}

/** A batch of rows whose caller has been answered, well or not. */
export interface EndedWrite {
  readonly dataset: StoredDefinition
  readonly acknowledge: 'durable' | 'queued'
  readonly ms: number
  /** Null: it failed. */
  readonly report: IngestReport | null
  readonly error: unknown
  readonly origin: CallOrigin | null
}

/** Told of what the engine does, when it is done: metrics and logs are made of it. Its functions throw nothing, and are quick. */
export interface EngineObserver {
  readonly onQuery?: (query: EndedQuery) => void
  readonly onWrite?: (write: EndedWrite) => void
  readonly onCommit?: (commit: PipelineCommit) => void
}

/** Those who are told; without any of them nothing is measured. */
export class Observers {
  readonly #all = new Set<EngineObserver>()

  add(observer: EngineObserver): () => void {
    this.#all.add(observer)
    return () => void this.#all.delete(observer)
  }

  committed(commit: PipelineCommit): void {
    for (const { onCommit } of this.#all) onCommit?.(commit)
  }

  query<A extends Answer | EventsAnswer<unknown>>(
    about: Pick<EndedQuery, 'kind' | 'dataset' | 'question' | 'origin'>,
    ask: () => Promise<A>,
  ): Promise<A> {
    return this.#watch(ask, (ms, answer, error) => {
      const rows = answer?.rows.length ?? null
      const ended: EndedQuery = { ...about, ms, rows, plan: answer?.plan ?? null, error }
      for (const { onQuery } of this.#all) onQuery?.(ended)
    })
  }

  write(
    about: Pick<EndedWrite, 'dataset' | 'acknowledge' | 'origin'>,
    write: () => Promise<IngestReport>,
  ): Promise<IngestReport> {
    return this.#watch(write, (ms, report, error) => {
      const ended: EndedWrite = { ...about, ms, report, error }
      for (const { onWrite } of this.#all) onWrite?.(ended)
    })
  }

  async #watch<A>(
    work: () => Promise<A>,
    tell: (ms: number, answer: A | null, error: unknown) => void,
  ): Promise<A> {
    if (this.#all.size === 0) return work()
    const startedMs = performance.now()
    let answer: A
    try {
      answer = await work()
    } catch (error) {
      tell(performance.now() - startedMs, null, error)
      throw error
    }
    tell(performance.now() - startedMs, answer, null)
    return answer
  }
}
