import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import {
  type AggregateQueryNode,
  type Answer,
  type AnswerComparison,
  canonicalFilter,
  comparableQuestion,
  compareAnswers,
  type QueryNode,
  type ReadSnapshot,
} from '../query/index.ts'
import { formatInstant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'

export interface ShadowCounts {
  readonly checked: number
  /** Of those: how many differed. */
  readonly different: number
  /** Drawn, and not checked: another check was running, or rounding may decide about its rows. */
  readonly skipped: number
  /** Begun, and not done: out of time, or an error. */
  readonly failed: number
}

/** What is wrong, for the table of alarms. */
export interface ShadowAlarm {
  readonly kind: 'shadow'
  readonly dataset: string
  readonly fingerprint: string
  readonly detail: unknown
}

export interface ShadowOptions {
  readonly share: number
  readonly timeoutMs: number
  /** The question once more, from raw rows only; null when they are not all there any more. */
  readonly compute: (
    node: AggregateQueryNode,
    snapshot: ReadSnapshot,
    signal: AbortSignal,
  ) => Promise<Answer | null>
  readonly raise: (alarm: ShadowAlarm) => Promise<void>
  /** In [0, 1); default Math.random. */
  readonly random?: () => number
}

export interface ShadowedRead {
  readonly timeoutMs: number
  readonly signal: AbortSignal | null
  /** To be awaited with the answer, while the snapshot is still lent. */
  readonly answered: (answer: Answer, snapshot: ReadSnapshot) => Promise<void>
}

/**
 * Computes a share of answered aggregate queries once more from raw rows, in the same snapshot, and raises an alarm when they
 * differ. The caller has his answer before; the connection is given back after. One at a time.
 */
export class ShadowChecks {
  readonly #options: ShadowOptions
  #running: { readonly stop: AbortController; readonly done: Promise<unknown> } | null = null
  #checked = 0
  #different = 0
  #skipped = 0
  #failed = 0

  constructor(options: ShadowOptions) {
    this.#options = options
  }

  get counts(): ShadowCounts {
    return {
      checked: this.#checked,
      different: this.#different,
      skipped: this.#skipped,
      failed: this.#failed,
    }
  }

  /** Runs a read, with a check behind it when it is drawn. */
  async read(
    node: QueryNode,
    limits: { readonly timeoutMs: number; readonly signal: AbortSignal | null },
    read: (how: ShadowedRead) => Promise<Answer>,
  ): Promise<Answer> {
    const { share, random = Math.random } = this.#options
    const isDrawn = share > 0 && node.kind === 'aggregate' && random() < share
    if (!isDrawn) return read({ ...limits, answered: async () => {} })
    const question = comparableQuestion(node)
    if (this.#running !== null || question === null) {
      this.#skipped += 1
      return read({ ...limits, answered: async () => {} })
    }
    return this.#readAndCheck(node, question, limits, read)
  }

  /** Ends what runs. */
  async close(): Promise<void> {
    this.#running?.stop.abort()
    await this.#running?.done
  }

  #readAndCheck(
    node: AggregateQueryNode,
    question: AggregateQueryNode,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal | null },
    read: (how: ShadowedRead) => Promise<Answer>,
  ): Promise<Answer> {
    const stop = new AbortController()
    // every statement of both computations listens, which is no leak
    setMaxListeners(0, stop.signal)
    const cancel = (): void => stop.abort(signal?.reason)
    if (signal?.aborted) cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    let timer = setTimeout(() => {
      stop.abort(new TidemarkError('TM_TIMEOUT', { what: 'the query', limitMs: timeoutMs }))
    }, timeoutMs)
    return new Promise((resolve, reject) => {
      const answered: ShadowedRead['answered'] = async (answer, snapshot) => {
        // from here on the caller's limits are none of ours
        signal?.removeEventListener('abort', cancel)
        clearTimeout(timer)
        timer = setTimeout(() => stop.abort(), this.#options.timeoutMs)
        resolve(answer)
        try {
          await this.#check(node, question, answer, snapshot, stop.signal)
        } catch {
          // the answer is given; what failed here is counted, and nothing else depends on it
          this.#failed += 1
        }
      }
      const both = timeoutMs + this.#options.timeoutMs
      const done = read({ timeoutMs: both, signal: stop.signal, answered })
        // after the answer nobody waits for it
        .then(resolve, reject)
        .finally(() => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', cancel)
          this.#running = null
        })
      this.#running = { stop, done }
    })
  }

  async #check(
    node: AggregateQueryNode,
    question: AggregateQueryNode,
    answer: Answer,
    snapshot: ReadSnapshot,
    signal: AbortSignal,
  ): Promise<void> {
    const computed = await this.#options.compute(question, snapshot, signal)
    if (computed === null) {
      this.#skipped += 1
      return
    }
    this.#checked += 1
    const comparison = compareAnswers(node, answer.rows, computed.rows)
    if (comparison.total === 0) return
    this.#different += 1
    const alarm = alarmOf(node, answer, computed, comparison)
    try {
      await this.#options.raise(alarm)
    } catch (error) {
      // an answer was wrong: somebody has to hear of it, also where the alarm cannot be written
      process.emitWarning(
        `an answer over ${alarm.dataset} differs from its raw rows, and the alarm could not be written`,
        { code: 'TM_SHADOW', detail: error instanceof Error ? error.message : String(error) },
      )
    }
  }
}

function alarmOf(
  node: AggregateQueryNode,
  answer: Answer,
  computed: Answer,
  { differences, total }: AnswerComparison,
): ShadowAlarm {
  const question = {
    bucket: node.bucket && { every: node.bucket.every.text, zone: node.bucket.zone },
    by: node.by.map(({ name }) => name),
    where: canonicalFilter(node.where),
    select: node.select.map(({ name, aggregate: { fn, ref } }) => ({
      name,
      fn,
      column: ref && [ref.column, ...ref.path].join('.'),
    })),
    aggregate: node.of?.name ?? null,
  }
  const range = node.range && { from: formatInstant(node.range.from), to: formatInstant(node.range.to) }
  return {
    kind: 'shadow',
    dataset: node.of?.name ?? node.dataset.name,
    fingerprint: createHash('sha256').update(JSON.stringify(question)).digest('hex'),
    detail: { query: { ...question, range }, total, differences, answered: answer.plan, raw: computed.plan },
  }
}
