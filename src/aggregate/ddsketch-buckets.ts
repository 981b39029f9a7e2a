import type { ByteReader, ByteWriter } from './bytes.ts'

/**
 * DDSketch (Masson, Rim, Lee, VLDB 2019) with a linearly interpolated mapping: each power of two is cut into 50 buckets
 * of equal width, so that borders are exact doubles in every engine. docs/decisions/0003-sketches.md has the reasons.
 *
 * Bucket e * 50 + s holds T(e, s) <= |x| < T(e, s + 1) with T(e, s) = 2^e * M[s]. Its value 2 * lo * hi / (lo + hi) is
 * off by at most (hi - lo) / (hi + lo) <= 1/101 of the true one.
 */
export const bucketsPerOctave = 50
/** Buckets of one sign at most: 81.9 powers of two below the greatest magnitude. Lower ones are counted in the lowest. */
export const bucketCap = 4096
/** What the answer is off by at most, relative to the exact value. */
export const relativeError = 1 / 101

/** M[0] … M[50]; one division of whole numbers is rounded correctly. */
const mantissas: Float64Array = Float64Array.from(
  { length: bucketsPerOctave + 1 },
  (_, s) => (bucketsPerOctave + s) / bucketsPerOctave,
)

const bits = new DataView(new ArrayBuffer(8))

/** Bucket of a finite magnitude of at least 2^-1022. */
export function bucketIndex(magnitude: number): number {
  bits.setFloat64(0, magnitude)
  const high = bits.getUint32(0)
  const exponent = (high >>> 20) - 1023
  bits.setUint32(0, (high & 0xfffff) | 0x3ff00000)
  const mantissa = bits.getFloat64(0)
  let s = Math.min(Math.floor((mantissa - 1) * bucketsPerOctave), bucketsPerOctave - 1)
  if (mantissa < mantissas[s]!) s -= 1
  else if (mantissa >= mantissas[s + 1]!) s += 1
  return exponent * bucketsPerOctave + s
}

/** Lower border of a bucket. */
export function bucketBorder(index: number): number {
  const exponent = Math.floor(index / bucketsPerOctave)
  return mantissas[index - exponent * bucketsPerOctave]! * 2 ** exponent
}

export function bucketValue(index: number): number {
  const exponent = Math.floor(index / bucketsPerOctave)
  const s = index - exponent * bucketsPerOctave
  const low = mantissas[s]!
  const high = mantissas[s + 1]!
  return ((2 * low * high) / (low + high)) * 2 ** exponent
}

/** Counts of the buckets of one sign: a window of an array that grows towards what comes in, up to the cap. */
export class BucketStore {
  #counts = new Float64Array(0)
  /** Bucket of the first element. */
  #start = 0
  #lowest = Number.POSITIVE_INFINITY
  #highest = Number.NEGATIVE_INFINITY
  total = 0

  /** Bytes of the counts, for what bounds memory. */
  get heldBytes(): number {
    return this.#counts.byteLength
  }

  add(bucket: number, count: number): void {
    let index = bucket
    if (index > this.#highest) this.#raise(index)
    const floor = this.#highest - bucketCap + 1
    if (index < floor) index = floor
    if (index < this.#lowest) {
      this.#cover(index, this.#highest)
      this.#lowest = index
    }
    this.#counts[index - this.#start]! += count
    this.total += count
  }

  /** Makes `highest` the greatest bucket; what falls below the cap is counted in the lowest that is kept. */
  #raise(highest: number): void {
    const floor = highest - bucketCap + 1
    let fallen = 0
    for (let i = this.#lowest; i < floor && i <= this.#highest; i += 1) {
      fallen += this.#counts[i - this.#start]!
      this.#counts[i - this.#start] = 0
    }
    const lowest = fallen > 0 ? floor : Math.min(Math.max(this.#lowest, floor), highest)
    this.#cover(lowest, highest)
    this.#lowest = lowest
    this.#highest = highest
    if (fallen > 0) this.#counts[floor - this.#start]! += fallen
  }

  #cover(lowest: number, highest: number): void {
    if (lowest >= this.#start && highest < this.#start + this.#counts.length) return
    // half of what is needed on either side, so that growing is rare
    const margin = Math.min(32 + ((highest - lowest) >> 1), bucketCap)
    const grown = new Float64Array(highest - lowest + 1 + 2 * margin)
    const start = lowest - margin
    const from = Math.max(this.#lowest, lowest)
    for (let i = from; i <= this.#highest; i += 1) grown[i - start] = this.#counts[i - this.#start]!
    this.#counts = grown
    this.#start = start
  }

  merge(other: BucketStore): void {
    // from the top: what is below the cap is known at once
    for (let i = other.#highest; i >= other.#lowest; i -= 1) {
      const count = other.#counts[i - other.#start]!
      if (count > 0) this.add(i, count)
    }
  }

  /** The bucket that holds the rank-th value (from 0), counted from the lowest or the highest magnitude. */
  at(rank: number, fromHighest: boolean): number {
    let before = 0
    if (fromHighest) {
      for (let i = this.#highest; i > this.#lowest; i -= 1) {
        before += this.#counts[i - this.#start]!
        if (before > rank) return i
      }
      return this.#lowest
    }
    for (let i = this.#lowest; i < this.#highest; i += 1) {
      before += this.#counts[i - this.#start]!
      if (before > rank) return i
    }
    return this.#highest
  }

  write(writer: ByteWriter): void {
    const used: number[] = []
    for (let i = this.#lowest; i <= this.#highest; i += 1)
      if (this.#counts[i - this.#start]! > 0) used.push(i)
    writer.count(used.length)
    used.forEach((bucket, i) => {
      if (i === 0) writer.integer(BigInt(bucket))
      else writer.count(bucket - used[i - 1]!)
      writer.count(this.#counts[bucket - this.#start]!)
    })
  }

  read(reader: ByteReader): void {
    const length = reader.count()
    let bucket = 0
    const found: [number, number][] = []
    for (let i = 0; i < length; i += 1) {
      bucket = i === 0 ? Number(reader.integer()) : bucket + reader.count()
      found.push([bucket, reader.count()])
    }
    for (const [at, count] of found.reverse()) this.add(at, count)
  }
}
