import type uPlot from 'uplot'
import { barPaths, lonePoints } from './paths.ts'
import type { Theme } from './plot.ts'
import { type SeriesSet, stack } from './series.ts'
import { isShown, type Shown } from './shown.ts'
import { mix } from './ticks.ts'
import { isBefore } from './words.ts'

/** What uPlot draws of a set of series. */

export type ChartKind = 'line' | 'bar' | 'stacked'

export interface Drawn {
  readonly data: uPlot.AlignedData
  readonly series: readonly { readonly key: string; readonly options: uPlot.Series }[]
}

export function drawn(
  props: { readonly set: SeriesSet; readonly kind: ChartKind; readonly shown: Shown },
  theme: Theme,
  bucketMs: () => number | null,
): Drawn {
  const { set, kind, shown } = props
  const places = new Map<string, number>()
  for (const { key } of set.series) {
    const own = isBefore(key) ? key.slice(7) : key
    if (!places.has(own)) places.set(own, places.size)
  }
  const visible = set.series.filter(({ key }) => isShown(shown, isBefore(key) ? key.slice(7) : key))
  const now = visible.filter(({ key }) => !isBefore(key))
  const earlier = visible.filter(({ key }) => isBefore(key))
  const color = (key: string): { readonly line: string; readonly dash: number[] } => {
    const place = places.get(isBefore(key) ? key.slice(7) : key) ?? 0
    return {
      line: theme.series[place % 10] as string,
      dash: place >= 20 ? [2, 3] : place >= 10 ? [8, 3] : [],
    }
  }
  const before = earlier.map(({ key, label, values }) => ({
    key,
    values,
    options: {
      label,
      stroke: mix(color(key).line, theme.surface, 0.25),
      width: 1.5,
      dash: [4, 4],
      points: { show: true, size: 4, filter: (u: uPlot, i: number) => lonePoints(u, i, 0) },
    } satisfies uPlot.Series,
  }))
  const drawNow = (): readonly {
    readonly key: string
    readonly values: readonly (number | null)[]
    readonly options: uPlot.Series
  }[] => {
    if (kind === 'line')
      return now.map(({ key, label, values }) => {
        const { line, dash } = color(key)
        return {
          key,
          values,
          options: {
            label,
            stroke: line,
            width: 1.75,
            dash,
            ...(now.length === 1 ? { fill: `${line}1f` } : {}),
            points: { show: true, size: 5, fill: line, filter: (u: uPlot, i: number) => lonePoints(u, i) },
          },
        }
      })
    if (kind === 'bar')
      return now.map(({ key, label, values }, slot) => ({
        key,
        values,
        options: {
          label,
          fill: mix(color(key).line, theme.surface, 0.12),
          paths: barPaths(slot, now.length, bucketMs),
          points: { show: false },
        },
      }))
    const sums = stack(
      now.map(({ values }) => values),
      set.xs.length,
    )
    // the highest first, the lower ones over it
    return now
      .map(({ key, label }, i) => ({
        key,
        values: sums[i] as readonly (number | null)[],
        options: {
          label,
          fill: mix(color(key).line, theme.surface, 0.12),
          paths: barPaths(0, 1, bucketMs),
          points: { show: false },
        },
      }))
      .reverse()
  }
  const all = [...drawNow(), ...before]
  return {
    data: [set.xs as number[], ...all.map(({ values }) => values as (number | null)[])],
    series: all.map(({ key, options }) => ({ key, options })),
  }
}

/** From zero, unless what is drawn lies far above it. */
export function upRange(kind: ChartKind): uPlot.Range.Function {
  return (_u, min, max) => {
    if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1]
    const hasZero = kind !== 'line' || (min > 0 ? min <= max * 0.6 : max < 0 ? max >= min * 0.6 : true)
    const [low, high] = hasZero ? [Math.min(0, min), Math.max(0, max)] : [min, max]
    if (low === high) return low === 0 ? [0, 1] : low > 0 ? [0, low * 2] : [low * 2, 0]
    const room = (high - low) * 0.06
    return [low === 0 ? 0 : low - room, high === 0 ? 0 : high + room]
  }
}
