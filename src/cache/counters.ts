import type { CacheLayer } from '../schema/index.ts'
import type { HeldCounts } from './fair-memory.ts'

/** What became of the questions of one layer since the start of this process. */
export interface LayerOutcomes {
  memoryHits: number
  redisHits: number
  /** Given out past their ttl, while they were computed anew. */
  stale: number
  /** Computed. */
  misses: number
  /** Waited for another caller's computation. */
  joined: number
  /** Computed, and nothing was looked for or kept: the feed is behind, or the layer is off. */
  bypassed: number
  /** Computed behind a stale answer. */
  refreshes: number
  /** Computations that failed, of callers and behind stale answers. */
  errors: number
  /** Computed, and not held in this process: changed meanwhile, or too large. */
  notHeld: number
}

export type LayerCounts = Readonly<LayerOutcomes> & HeldCounts

const none: LayerOutcomes = {
  memoryHits: 0,
  redisHits: 0,
  stale: 0,
  misses: 0,
  joined: 0,
  bypassed: 0,
  refreshes: 0,
  errors: 0,
  notHeld: 0,
}

export class Counters {
  readonly #layers = new Map<CacheLayer, LayerOutcomes>()

  of(layer: CacheLayer): LayerOutcomes {
    const counts = this.#layers.get(layer) ?? { ...none }
    this.#layers.set(layer, counts)
    return counts
  }
}
