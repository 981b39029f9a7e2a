import type { StorageSample } from 'tidemark/client'

/** Columns as uPlot takes them: seconds since the epoch, bytes in the lake, and bytes of both, one above the other. */
export interface GrowthData {
  readonly times: readonly number[]
  readonly cold: readonly number[]
  readonly total: readonly number[]
}

/**
 * Of one dataset, or of all of them together: they need not have been measured at the same moments, so what was last known of
 * each counts until it is measured again.
 */
export function growthData(samples: readonly StorageSample[], dataset: string | null): GrowthData {
  const wanted = samples
    .filter((sample) => dataset === null || sample.dataset === dataset)
    .map((sample) => ({ ...sample, time: Date.parse(sample.at) / 1000 }))
    .sort((a, b) => a.time - b.time)
  const latest = new Map<string, { hot: number; cold: number }>()
  const data = { times: [] as number[], cold: [] as number[], total: [] as number[] }
  let hot = 0
  let cold = 0
  for (const [i, sample] of wanted.entries()) {
    const before = latest.get(sample.dataset)
    hot += sample.hotBytes - (before?.hot ?? 0)
    cold += sample.coldBytes - (before?.cold ?? 0)
    latest.set(sample.dataset, { hot: sample.hotBytes, cold: sample.coldBytes })
    if (wanted[i + 1]?.time === sample.time) continue
    data.times.push(sample.time)
    data.cold.push(cold)
    data.total.push(hot + cold)
  }
  return data
}

/** Bytes a day from the first to the last sample; null where less than an hour lies between them. */
export function growthPerDay({ times, total }: GrowthData): number | null {
  const seconds = (times.at(-1) ?? 0) - (times[0] ?? 0)
  if (seconds < 3600) return null
  return ((total.at(-1)! - total[0]!) / seconds) * 86_400
}
