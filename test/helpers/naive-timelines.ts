import type { Instant } from '../../src/time/index.ts'

/** A reading of one series. */
export interface NaiveReading {
  readonly series: string
  readonly at: Instant
  readonly value: number
}

/** Half the distance between two neighbouring doubles around 1. */
const eps = 2 ** -53

type TimelineFunction = 'increase' | 'rate' | 'delta' | 'timeWeightedAvg'

/** Series by series, reading by reading, as one would by hand; and how far roundings may lead away. */
export function timelineOf(
  fn: TimelineFunction,
  weight: string,
  given: readonly NaiveReading[],
): { value: number | null; tolerance: number } {
  const readings = given
    .filter(({ value }) => Math.abs(value) < 2 ** 900)
    .map((one) => (Math.abs(one.value) < 2 ** -900 ? { ...one, value: 0 } : one))
  const names = [...new Set(readings.map(({ series }) => series))]
  let total = 0
  let seconds = 0
  let tolerance = 0
  let isKnown = false
  for (const name of names) {
    const own = readings.filter(({ series }) => series === name)
    own.sort((a, b) => (a.at === b.at ? a.value - b.value : a.at < b.at ? -1 : 1))
    const span = Number(own.at(-1)!.at - own[0]!.at) / 1e6
    const greatest = Math.max(...own.map(({ value }) => Math.abs(value)))
    const slack = 8 * own.length * eps * greatest
    let sum = 0
    for (const [i, { at, value }] of own.entries()) {
      const before = own[i - 1]
      if (!before) continue
      const dt = Number(at - before.at) / 1e6
      if (fn === 'timeWeightedAvg')
        sum += weight === 'locf' ? before.value * dt : ((before.value + value) / 2) * dt
      else if (fn === 'delta') sum += value - before.value
      else sum += value < before.value ? value : value - before.value
    }
    if (fn === 'increase' || fn === 'delta') {
      isKnown = true
      total += sum
      tolerance += slack * own.length
    } else if (span > 0) {
      isKnown = true
      total += fn === 'rate' ? sum / span : sum
      tolerance += fn === 'rate' ? (slack * own.length) / span : slack * span
      seconds += span
    }
  }
  if (!isKnown) return { value: null, tolerance: 0 }
  if (fn !== 'timeWeightedAvg') return { value: total, tolerance: tolerance * names.length }
  return { value: total / seconds, tolerance: (tolerance * names.length) / seconds }
}
