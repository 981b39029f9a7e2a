import { randomBytes } from 'node:crypto'
import type { DatasetChange } from '../feed/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { isTidemarkError, type TidemarkError } from '../util/errors.ts'
import type { LiveOptions } from './contract.ts'
import type { Asked, Question, QuestionAnswer } from './question.ts'
import { type LiveItem, Version } from './version.ts'

/** What an upstream needs of the hub that it belongs to. */
export interface UpstreamHost {
  readonly options: LiveOptions
  /** Waits for its turn among all questions. */
  inTurn<T>(run: () => Promise<T>): Promise<T>
  /** Throws when the answers of all questions together, or of its tenant, are too large. */
  hold(upstream: Upstream, bytes: number): void
  computed(isPartial: boolean): void
  /** Nobody has read it for a while, or it has failed for good. */
  ended(upstream: Upstream): void
}

/** Who is told of a new version. */
export interface Reader {
  changed(): void
  failed(error: TidemarkError): void
}

const maxVersions = 64
/** Items of all versions that are remembered, which share most of them. */
const maxRemembered = 200_000
const firstRetryMs = 500
const maxRetryMs = 30_000

/**
 * Keeps the answer to one question up to date, for any number of readers. After a change that touches it, it is asked again: for the
 * touched buckets alone where that can be, whole otherwise; not again before it has rested. States: docs/design/live.md.
 */
export class Upstream {
  readonly question: Question
  readonly id = randomBytes(9).toString('base64url')
  readonly #host: UpstreamHost
  readonly #readers = new Set<Reader>()
  readonly #stop = new AbortController()
  /** Ascending; the last one is the present one. */
  readonly #versions: Version[] = []
  /** What the present version is about. */
  #asked: Asked = { kind: 'nothing' }
  /** What may be others: everything, or rows in a range. */
  #dirty: 'all' | TimeRange | null = 'all'
  #isComputing = false
  /** Those who wait until it has seen everything that was told before they asked. */
  #waiting: (() => void)[] = []
  #failures = 0
  #restUntil = 0
  #timer: NodeJS.Timeout | null = null
  #slide: NodeJS.Timeout | null = null
  #linger: NodeJS.Timeout | null = null
  readonly #resync: NodeJS.Timeout

  constructor(question: Question, host: UpstreamHost) {
    this.question = question
    this.#host = host
    this.#resync = setInterval(() => this.touchAll(), host.options.resyncMs).unref()
    this.#schedule()
  }

  /** Null before the first answer. */
  get present(): Version | null {
    return this.#versions.at(-1) ?? null
  }

  get isPending(): boolean {
    return this.#dirty !== null || this.#isComputing
  }

  get readers(): number {
    return this.#readers.size
  }

  /** The version that a token names, while it is remembered. */
  remembered(resume: string): Version | null {
    return this.#versions.find((version) => version.resume === resume) ?? null
  }

  add(reader: Reader): void {
    this.#readers.add(reader)
    if (this.#linger !== null) clearTimeout(this.#linger)
    this.#linger = null
  }

  remove(reader: Reader): void {
    if (!this.#readers.delete(reader) || this.#readers.size > 0 || this.#stop.signal.aborted) return
    this.#linger = setTimeout(() => this.end(), this.#host.options.lingerMs).unref()
  }

  /** Rows of this dataset may be others. */
  touch(change: DatasetChange): void {
    const { question } = this
    if (!question.isOf(change.dataset, change.tenant)) return
    const asked = this.#asked
    const { range } = change
    if (range === null || !question.isMain(change.dataset) || asked.kind !== 'range') {
      this.touchAll()
      return
    }
    const { from, to } = asked.range
    if (range.to > to && question.hasMovingEnd) this.#dirty = 'all'
    else if (range.to <= from || range.from >= to) return
    else if (this.#dirty === null) this.#dirty = range
    else if (this.#dirty !== 'all') this.#dirty = hull(this.#dirty, range)
    this.#schedule()
  }

  /** Resolves when what was told before the call is in the present version, or could not be asked. */
  settled(): Promise<void> {
    if (this.#stop.signal.aborted || !this.isPending) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  touchAll(): void {
    this.#dirty = 'all'
    this.#schedule()
  }

  /** It cannot be kept up to date: whoever reads it is told, and it ends. */
  giveUp(error: TidemarkError): void {
    for (const reader of [...this.#readers]) reader.failed(error)
    this.end()
  }

  end(): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    clearInterval(this.#resync)
    for (const timer of [this.#timer, this.#slide, this.#linger]) if (timer !== null) clearTimeout(timer)
    for (const resolve of this.#waiting.splice(0)) resolve()
    this.#host.hold(this, -this.#bytes)
    this.#host.ended(this)
  }

  get #bytes(): number {
    return this.present?.bytes ?? 0
  }

  /** As soon as it has rested. */
  #schedule(): void {
    if (this.#isComputing || this.#dirty === null || this.#timer !== null || this.#stop.signal.aborted) return
    const waitMs = this.#restUntil - performance.now()
    if (waitMs <= 0) {
      void this.#compute()
      return
    }
    this.#timer = setTimeout(() => {
      this.#timer = null
      void this.#compute()
    }, waitMs).unref()
  }

  async #compute(): Promise<void> {
    this.#isComputing = true
    const waiting = this.#waiting
    this.#waiting = []
    const { options } = this.#host
    try {
      const ms = await this.#host.inTurn(async () => {
        const startedAt = performance.now()
        if (!this.#stop.signal.aborted) await this.#answer()
        return performance.now() - startedAt
      })
      this.#failures = 0
      this.#restUntil = performance.now() + Math.max(options.restMs, ms)
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isComputing = false
    }
    // whoever came while it was asked is content, too, unless more has been told since
    if (this.#dirty === null) waiting.push(...this.#waiting.splice(0))
    for (const resolve of waiting) resolve()
    this.#schedule()
  }

  async #answer(): Promise<void> {
    const { question } = this
    // what is told from here on is looked at again
    const dirty = this.#dirty
    this.#dirty = null
    const { signal } = this.#stop
    try {
      const part = dirty === 'all' || dirty === null ? null : this.#touched(dirty)
      const present = this.present
      if (part !== null && present !== null) {
        const answer = part.asked.kind === 'nothing' ? null : await question.ask(part.asked, signal)
        this.#host.computed(true)
        if (answer !== null)
          this.#take({ ...answer, items: spliced(present.items, part.buckets, answer.items) })
        return
      }
      const asked = question.at(question.now())
      const answer = await question.ask(asked, signal)
      this.#host.computed(false)
      this.#asked = asked
      this.#take(answer)
      this.#slideLater()
    } catch (error) {
      this.#dirty = 'all'
      throw error
    }
  }

  /** The whole buckets that a change may have touched, as far as they are asked about; null: it has to be asked whole. */
  #touched(dirty: TimeRange): { readonly buckets: TimeRange; readonly asked: Asked } | null {
    const asked = this.#asked
    if (asked.kind !== 'range') return null
    const inside = intersection(dirty, asked.range)
    if (inside.from >= inside.to) return { buckets: inside, asked: { kind: 'nothing' } }
    const buckets = this.question.bucketsAround(inside)
    if (buckets === null) return null
    return { buckets, asked: { kind: 'range', range: intersection(buckets, asked.range) } }
  }

  #take(answer: QuestionAnswer | null): void {
    if (this.#stop.signal.aborted) return
    const before = this.present
    const given = answer?.items ?? []
    const known = new Map(before?.items.map((item) => [item.key, item]))
    const items = given.map((item) => {
      const old = known.get(item.key)
      return old?.text === item.text ? old : item
    })
    const isSame =
      before !== null &&
      items.length === before.items.length &&
      items.every((item, i) => item === before.items[i])
    if (isSame) return
    const number = (before?.number ?? 0) + 1
    const version = new Version({
      number,
      resume: `${this.id}.${number}`,
      asOf: answer?.asOf ?? before?.asOf ?? new Date().toISOString(),
      items,
      columns: answer?.columns ?? before?.columns ?? '[]',
    })
    this.#host.hold(this, version.bytes - this.#bytes)
    before?.retire()
    this.#versions.push(version)
    this.#forget()
    for (const reader of [...this.#readers]) reader.changed()
  }

  #forget(): void {
    let items = this.#versions.reduce((sum, version) => sum + version.items.length, 0)
    while (this.#versions.length > 1 && (this.#versions.length > maxVersions || items > maxRemembered))
      items -= (this.#versions.shift() as Version).items.length
  }

  #slideLater(): void {
    const { slideMs } = this.question
    if (slideMs === null || this.#stop.signal.aborted) return
    if (this.#slide !== null) clearTimeout(this.#slide)
    this.#slide = setTimeout(() => this.touchAll(), slideMs).unref()
  }

  #fail(error: unknown): void {
    if (this.#stop.signal.aborted) return
    const known = this.#host.options.explain(error)
    const mayPass =
      isTidemarkError(error) && error.retryable && error.code !== 'TM_LIVE_LIMIT' && this.present !== null
    if (!mayPass) {
      this.giveUp(known)
      return
    }
    this.#restUntil = performance.now() + Math.min(maxRetryMs, firstRetryMs * 2 ** this.#failures)
    this.#failures += 1
  }
}

function hull(a: TimeRange, b: TimeRange): TimeRange {
  return { from: a.from < b.from ? a.from : b.from, to: a.to > b.to ? a.to : b.to }
}

function intersection(a: TimeRange, b: TimeRange): TimeRange {
  return { from: a.from > b.from ? a.from : b.from, to: a.to < b.to ? a.to : b.to }
}

/** Items of other buckets stay; both lists are in the order of their buckets. */
function spliced(
  items: readonly LiveItem[],
  buckets: TimeRange,
  fresh: readonly LiveItem[],
): readonly LiveItem[] {
  const first = items.findIndex(({ bucket }) => (bucket as Instant) >= buckets.from)
  if (first < 0) return [...items, ...fresh]
  const next = items.findIndex(({ bucket }, i) => i >= first && (bucket as Instant) >= buckets.to)
  return [...items.slice(0, first), ...fresh, ...(next < 0 ? [] : items.slice(next))]
}
