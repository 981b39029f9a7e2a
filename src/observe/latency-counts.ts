/** A bucket ends this many times further than it begins: what is read is within 2.5 %. */
const growth = 1.05
const leastMs = 0.05
const buckets = 340

/** Durations counted by their logarithm, from 0.05 ms to 12 minutes; what lies beyond counts as the last. */
export class LatencyCounts {
  #counts: Uint32Array | null = null
  count = 0

  add(ms: number): void {
    this.#counts ??= new Uint32Array(buckets)
    const at = ms <= leastMs ? 0 : Math.ceil(Math.log(ms / leastMs) / Math.log(growth))
    const bucket = Math.min(at, buckets - 1)
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1
    this.count += 1
  }

  addAll(other: LatencyCounts): void {
    if (other.#counts === null) return
    this.#counts ??= new Uint32Array(buckets)
    for (let i = 0; i < buckets; i++)
      this.#counts[i] = (this.#counts[i] as number) + (other.#counts[i] as number)
    this.count += other.count
  }

  /** Null: nothing was counted. */
  quantile(q: number): number | null {
    if (this.#counts === null || this.count === 0) return null
    const rank = Math.max(1, Math.ceil(q * this.count))
    let seen = 0
    for (let i = 0; i < buckets; i++) {
      seen += this.#counts[i] as number
      if (seen >= rank) return i === 0 ? leastMs : round(leastMs * growth ** (i - 0.5))
    }
    return null
  }
}

/** Three digits are all that is known. */
function round(ms: number): number {
  return Number(ms.toPrecision(3))
}
