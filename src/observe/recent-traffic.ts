import type { Latency, TrafficPoint } from '../client/index.ts'
import type { EndedQuery, EndedWrite, EngineObserver } from '../engine/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { LatencyCounts } from './latency-counts.ts'

const slotMs = 10_000
/** Half an hour. */
const maxSlots = 180
/** Five minutes. */
const windowSlots = 30

class Counts {
  readonly latency = new LatencyCounts()
  errors = 0
  refused = 0

  see(ms: number, error: unknown): void {
    // whoever has gone away was not kept waiting
    if (isTidemarkError(error) && error.code === 'TM_CANCELLED') return
    this.latency.add(ms)
    if (error === null) return
    if (isTidemarkError(error) && error.status < 500) this.refused += 1
    else this.errors += 1
  }
}

interface Slot {
  /** Place on the axis: its beginning is `number` times ten seconds. */
  readonly number: number
  readonly queries: Counts
  readonly writes: Counts
  /** Of answered batches. */
  accepted: number
  /** Committed. */
  committed: number
}

/**
 * What this process was asked lately, by ten seconds of half an hour: rates and latencies, without a system of metrics beside it. At most
 * half a megabyte.
 */
export class RecentTraffic {
  readonly #nowMs: () => number
  readonly #startedMs: number
  readonly #slots: Slot[] = []

  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs
    this.#startedMs = nowMs()
  }

  get observer(): EngineObserver {
    return {
      onQuery: ({ ms, error }: EndedQuery) => this.#slot().queries.see(ms, error),
      onWrite: ({ ms, error, report }: EndedWrite) => {
        const slot = this.#slot()
        slot.writes.see(ms, error)
        if (report !== null && !report.isReplayed) slot.accepted += report.accepted
      },
      onCommit: ({ rows }) => {
        this.#slot().committed += rows
      },
    }
  }

  get queries(): Latency {
    return this.#latencyOf(({ queries }) => queries)
  }

  get writes(): Latency & { readonly rowsPerSecond: number } {
    return {
      ...this.#latencyOf(({ writes }) => writes),
      rowsPerSecond: this.#rateOf(({ accepted }) => accepted),
    }
  }

  /** Rows that were committed. */
  get rowsPerSecond(): number {
    return this.#rateOf(({ committed }) => committed)
  }

  /** Of every ten seconds since the process began, of half an hour at most; the last one is not over yet and not among them. */
  get series(): TrafficPoint[] {
    const end = this.#number()
    const begin = Math.max(Math.floor(this.#startedMs / slotMs), end - maxSlots)
    const known = new Map(this.#slots.map((slot) => [slot.number, slot]))
    return Array.from({ length: end - begin }, (_, i) => pointOf(begin + i, known.get(begin + i) ?? null))
  }

  #latencyOf(of: (slot: Slot) => Counts): Latency {
    const all = new LatencyCounts()
    let [errors, refused] = [0, 0]
    for (const slot of this.#window()) {
      const counts = of(slot)
      all.addAll(counts.latency)
      errors += counts.errors
      refused += counts.refused
    }
    return {
      ...{ p50Ms: all.quantile(0.5), p95Ms: all.quantile(0.95), p99Ms: all.quantile(0.99) },
      ...{ perSecond: this.#perSecond(all.count), errors, refused },
    }
  }

  #rateOf(rows: (slot: Slot) => number): number {
    return this.#perSecond(this.#window().reduce((sum, slot) => sum + rows(slot), 0))
  }

  #perSecond(count: number): number {
    const now = this.#nowMs()
    const since = Math.max((this.#number() - windowSlots + 1) * slotMs, this.#startedMs)
    return rateOf(count, Math.max(1000, now - since))
  }

  #window(): Slot[] {
    const first = this.#number() - windowSlots + 1
    return this.#slots.filter(({ number }) => number >= first)
  }

  #number(): number {
    return Math.floor(this.#nowMs() / slotMs)
  }

  #slot(): Slot {
    const number = this.#number()
    const last = this.#slots.at(-1)
    // a clock that was set back goes on in the newest one
    if (last !== undefined && last.number >= number) return last
    const slot: Slot = { number, queries: new Counts(), writes: new Counts(), accepted: 0, committed: 0 }
    this.#slots.push(slot)
    // beside the one that is not over
    while ((this.#slots[0] as Slot).number < number - maxSlots) this.#slots.shift()
    return slot
  }
}

function pointOf(number: number, slot: Slot | null): TrafficPoint {
  const { queries, writes, committed } = slot ?? { queries: null, writes: null, committed: 0 }
  return {
    at: new Date(number * slotMs).toISOString(),
    queriesPerSecond: rateOf(queries?.latency.count ?? 0, slotMs),
    queryP50Ms: queries?.latency.quantile(0.5) ?? null,
    queryP95Ms: queries?.latency.quantile(0.95) ?? null,
    queryP99Ms: queries?.latency.quantile(0.99) ?? null,
    queryErrors: queries?.errors ?? 0,
    writesPerSecond: rateOf(writes?.latency.count ?? 0, slotMs),
    writeP95Ms: writes?.latency.quantile(0.95) ?? null,
    writeErrors: writes?.errors ?? 0,
    rowsPerSecond: rateOf(committed, slotMs),
  }
}

function rateOf(count: number, ms: number): number {
  return Math.round((count / ms) * 1_000_000) / 1000
}
