import {
  type KeyboardEvent,
  type ReactNode,
  useEffect,
  useEffectEvent,
  useMemo,
  useRef,
  useState,
} from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { formatInstant, formatUnit } from '../format/index.ts'
import { barPaths, lonePoints } from './paths.ts'
import { insetLeft, markText, plotOptions, readTheme, type Theme } from './plot.ts'
import { nearest, placeAt, type SeriesSet, stack } from './series.ts'
import { isShown, type Shown } from './shown.ts'
import { mix } from './ticks.ts'
import styles from './time-chart.module.css'
import { Tooltip, type TooltipLine } from './tooltip.tsx'
import { useSize, useThemeName } from './use-size.ts'

export interface TimeChartProps {
  readonly set: SeriesSet
  readonly kind: 'line' | 'bar' | 'stacked'
  /** What the time axis shows, in ms. */
  readonly axis: { readonly from: number; readonly to: number }
  readonly bucketMs: number | null
  readonly shown: Shown
  readonly zone: string
  readonly unit?: string | undefined
  readonly height: number
  /** What it shows, for whoever does not see it. */
  readonly label: string
  /** Charts of one key move their cursors together. */
  readonly syncKey?: string | undefined
  /** How much earlier the series of the period before are. */
  readonly shiftMs?: number
  onZoom?: ((from: number, to: number) => void) | undefined
  onPlace?: ((at: number | null) => void) | undefined
}

const isBefore = (key: string): boolean => key.startsWith('before:')

/** The colour of a series: that of its period before is the same. */
export function colorAt(set: SeriesSet, key: string): number {
  const own = isBefore(key) ? key.slice('before:'.length) : key
  const names = [...new Set(set.series.map((one) => (isBefore(one.key) ? one.key.slice(7) : one.key)))]
  return Math.max(0, names.indexOf(own)) % 10
}

interface Drawn {
  readonly data: uPlot.AlignedData
  readonly series: readonly { readonly key: string; readonly options: uPlot.Series }[]
}

function drawn(props: TimeChartProps, theme: Theme, bucketMs: () => number | null): Drawn {
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
      points: { show: false },
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
function upRange(kind: TimeChartProps['kind']): uPlot.Range.Function {
  return (_u, min, max) => {
    if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1]
    const hasZero = kind !== 'line' || (min > 0 ? min <= max * 0.6 : max < 0 ? max >= min * 0.6 : true)
    const [low, high] = hasZero ? [Math.min(0, min), Math.max(0, max)] : [min, max]
    if (low === high) return low === 0 ? [0, 1] : low > 0 ? [0, low * 2] : [low * 2, 0]
    const room = (high - low) * 0.06
    return [low === 0 ? 0 : low - room, high === 0 ? 0 : high + room]
  }
}

/** Lines, bars or bars on each other over time. Arrows walk through it, shift and arrows choose a stretch, Enter zooms into it. */
export function TimeChart(props: TimeChartProps): ReactNode {
  const { set, kind, axis, bucketMs, shown, zone, unit, height, label, syncKey, shiftMs = 0 } = props
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const width = useSize(box)
  const themeName = useThemeName()
  const [cursor, setCursor] = useState<{ readonly at: number; readonly left: number } | null>(null)
  const [anchor, setAnchor] = useState<number | null>(null)
  const bucket = useRef(bucketMs)
  bucket.current = bucketMs
  const zoom = useEffectEvent((from: number, to: number) => props.onZoom?.(from, to))
  const tellPlace = useEffectEvent((at: number | null) => props.onPlace?.(at))
  const canZoom = props.onZoom !== undefined
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme is read from the document
  const picture = useMemo(() => {
    const theme = readTheme(document.documentElement)
    return { theme, ...drawn(props, theme, () => bucket.current) }
  }, [set, kind, shown, themeName])
  const shape = JSON.stringify([
    kind,
    themeName,
    zone,
    unit,
    syncKey,
    canZoom,
    picture.series.map(({ key }) => key),
  ])
  const latest = useRef({ picture, axis, set })
  latest.current = { picture, axis, set }
  // biome-ignore lint/correctness/useExhaustiveDependencies: made anew when its shape changes; data and sizes are set below
  useEffect(() => {
    const element = box.current
    if (element === null || width === 0) return
    const { picture: now, axis: range } = latest.current
    const u = new uPlot(
      plotOptions({
        width,
        height,
        theme: now.theme,
        zone,
        axis: range,
        yScale: { range: upRange(kind) },
        yAxis: { values: (_u, marks) => marks.map((mark) => markText(mark, unit)) },
        series: now.series.map(({ options }) => options),
        ...(syncKey === undefined ? {} : { syncKey }),
        ...(canZoom ? { onSelect: (from: number, to: number) => zoom(from, to) } : {}),
        onCursor: (self) => {
          const { left = -1 } = self.cursor
          if (left < 0 || self.data[0].length === 0) {
            setCursor(null)
            tellPlace(null)
            return
          }
          const { xs } = latest.current.set
          const x = self.posToVal(left, 'x')
          const at = kind === 'line' ? nearest(xs, x) : Math.max(0, placeAt(xs, x))
          const px = Math.round(
            self.valToPos((xs[at] as number) + (kind === 'line' ? 0 : (bucket.current ?? 0) / 2), 'x'),
          )
          setCursor((was) => (was?.at === at && was.left === px ? was : { at, left: px }))
          tellPlace(at)
        },
      }),
      now.data,
      element,
    )
    plot.current = u
    return () => {
      plot.current = null
      u.destroy()
    }
  }, [shape, width === 0])
  useEffect(() => {
    plot.current?.batch(() => {
      plot.current?.setData(picture.data, false)
      plot.current?.setScale('x', { min: axis.from, max: axis.to })
    })
  }, [picture, axis.from, axis.to])
  useEffect(() => {
    if (width > 0) plot.current?.setSize({ width, height })
  }, [width, height])
  useWheelZoom(box, plot, canZoom ? zoom : null)

  const goTo = (at: number): void => {
    const u = plot.current
    const x = set.xs[at]
    if (u === null || x === undefined) return
    const left = u.valToPos(x + (kind === 'line' ? 0 : (bucketMs ?? 0) / 2), 'x')
    // the first and the last bucket may reach beyond the ends of the chart
    u.setCursor({ left: Math.max(0, Math.min(left, u.bbox.width / devicePixelRatio - 1)), top: 10 })
  }
  const showStretch = (a: number | null, b: number): void => {
    const u = plot.current
    if (u === null) return
    const [from, to] = stretchOf(set.xs, a ?? b, b, bucketMs)
    if (a === null) u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
    else {
      const left = Math.max(0, u.valToPos(from, 'x'))
      const right = Math.min(u.bbox.width / devicePixelRatio, u.valToPos(to, 'x'))
      u.setSelect({ left, top: 0, width: right - left, height: u.bbox.height / devicePixelRatio }, false)
    }
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    if (set.xs.length === 0 || event.ctrlKey || event.metaKey || event.altKey) return
    const last = set.xs.length - 1
    const at = cursor?.at ?? -1
    const page = Math.max(1, Math.round(set.xs.length / 10))
    const to = {
      ArrowRight: at + 1,
      ArrowLeft: at < 0 ? last : at - 1,
      PageUp: at + page,
      PageDown: at - page,
      Home: 0,
      End: last,
    }[event.key]
    if (to !== undefined) {
      event.preventDefault()
      const next = Math.max(0, Math.min(last, to))
      const from = event.shiftKey && canZoom ? (anchor ?? Math.max(0, at)) : null
      setAnchor(from)
      goTo(next)
      showStretch(from, next)
    } else if (event.key === 'Enter' && anchor !== null && cursor !== null) {
      event.preventDefault()
      const [from, end] = stretchOf(set.xs, anchor, cursor.at, bucketMs)
      setAnchor(null)
      showStretch(null, cursor.at)
      zoom(from, end)
    } else if ((event.key === '+' || event.key === '-') && canZoom) {
      event.preventDefault()
      const factor = event.key === '+' ? 0.5 : 2
      const middle = cursor === null ? (axis.from + axis.to) / 2 : (set.xs[cursor.at] as number)
      const half = ((axis.to - axis.from) * factor) / 2
      zoom(middle - half, middle + half)
    } else if (event.key === 'Escape') {
      setAnchor(null)
      plot.current?.setCursor({ left: -10, top: -10 })
      showStretch(null, 0)
    }
  }
  const lines = cursor === null ? [] : linesAt(set, shown, cursor.at, unit)
  const time = cursor === null ? '' : timeOf(set.xs[cursor.at], bucketMs, zone)
  const spoken =
    cursor === null
      ? 'No bucket is chosen; arrow keys walk through them'
      : `${time}: ${lines
          .slice(0, 5)
          .map(({ name, text }) => `${name} ${text}`)
          .join(', ')}`
  return (
    <div className={styles['chart']} style={{ height }}>
      <div ref={box} className={styles['box']} data-chart={kind} />
      <div
        className={styles['keys']}
        style={{ left: insetLeft }}
        role="slider"
        tabIndex={0}
        aria-label={`${label}. Arrow keys walk through the buckets${canZoom ? ', with shift they choose a stretch, Enter zooms into it, plus and minus zoom' : ''}.`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, set.xs.length - 1)}
        aria-valuenow={cursor?.at ?? 0}
        aria-valuetext={spoken}
        onKeyDown={onKeyDown}
        onBlur={() => {
          setAnchor(null)
          showStretch(null, 0)
        }}
      />
      {cursor !== null && (
        <Tooltip
          left={insetLeft + cursor.left}
          width={width}
          title={time}
          lines={lines}
          color={(key) => colorAt(set, key)}
          note={
            shiftMs > 0 && set.series.some(({ key }) => isBefore(key))
              ? `dashed: ${timeOf((set.xs[cursor.at] ?? 0) - shiftMs, bucketMs, zone)}`
              : null
          }
        />
      )}
    </div>
  )
}

function stretchOf(
  xs: readonly number[],
  a: number,
  b: number,
  bucketMs: number | null,
): readonly [number, number] {
  const [low, high] = a < b ? [a, b] : [b, a]
  const from = xs[low] ?? 0
  return [from, (xs[high] ?? from) + (bucketMs ?? 1)]
}

/** What each series says there, the largest first, as exactly as the answer says it. */
export function linesAt(
  set: SeriesSet,
  shown: Shown,
  at: number,
  unit: string | undefined,
): readonly TooltipLine[] {
  return set.series
    .filter(({ key }) => isShown(shown, isBefore(key) ? key.slice(7) : key))
    .map(({ key, label, values, exact }) => {
      const value = exact(at)
      return {
        key,
        name: isBefore(key) ? `${label}, before` : label,
        size: values[at] ?? null,
        text: exactText(value, unit),
        isBefore: isBefore(key),
      }
    })
    .filter(({ text }) => text !== null)
    .sort(
      (a, b) =>
        Number(a.isBefore) - Number(b.isBefore) ||
        (b.size ?? Number.NEGATIVE_INFINITY) - (a.size ?? Number.NEGATIVE_INFINITY),
    ) as readonly TooltipLine[]
}

/** With every digit; null: there is no row. */
export function exactText(value: unknown, unit: string | undefined): string | null {
  if (value === undefined) return null
  if (value === null) return 'no value'
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string') {
    const plain = formatExact(value)
    if (unit === undefined || unit === '') return plain
    const said = formatUnit(value, unit)
    return unit === 'bytes' || unit === 'ms' || unit === 's' || unit === 'percent'
      ? `${said} (${plain})`
      : said
  }
  return JSON.stringify(value)
}

function formatExact(value: number | bigint | string): string {
  if (typeof value === 'number' && !Number.isInteger(value)) return String(value).replace(/^-/, '−')
  return formatUnit(value, undefined)
}

export function timeOf(ms: number | undefined, bucketMs: number | null, zone: string): string {
  if (ms === undefined) return ''
  const precision =
    bucketMs === null
      ? 'second'
      : bucketMs < 1000
        ? 'milli'
        : bucketMs < 60_000
          ? 'second'
          : bucketMs < 86_400_000
            ? 'minute'
            : 'day'
  return formatInstant(ms, zone, { precision })
}

/** With Ctrl or ⌘ the wheel zooms around the pointer: at once in what is there, and asked anew when it rests. */
function useWheelZoom(
  box: React.RefObject<HTMLDivElement | null>,
  plot: React.RefObject<uPlot | null>,
  zoom: ((from: number, to: number) => void) | null,
): void {
  const ask = useEffectEvent((from: number, to: number) => zoom?.(from, to))
  const isOn = zoom !== null
  useEffect(() => {
    const element = box.current
    if (element === null || !isOn) return
    let rest: ReturnType<typeof setTimeout> | null = null
    const onWheel = (event: WheelEvent): void => {
      const u = plot.current
      if (u === null || !(event.ctrlKey || event.metaKey)) return
      event.preventDefault()
      const { min, max } = u.scales['x'] as { min: number; max: number }
      const at = u.posToVal(event.clientX - u.over.getBoundingClientRect().left, 'x')
      const factor = event.deltaY < 0 ? 0.8 : 1.25
      const [from, to] = [at - (at - min) * factor, at + (max - at) * factor]
      if (to - from < 1) return
      u.setScale('x', { min: from, max: to })
      if (rest !== null) clearTimeout(rest)
      rest = setTimeout(() => ask(from, to), 350)
    }
    element.addEventListener('wheel', onWheel, { passive: false })
    return () => {
      element.removeEventListener('wheel', onWheel)
      if (rest !== null) clearTimeout(rest)
    }
  }, [box, plot, isOn])
}
