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
import { type ChartKind, drawn, upRange } from './drawn.ts'
import { insetLeft } from './insets.ts'
import { markText, plotOptions, readTheme } from './plot.ts'
import { nearest, placeAt, type SeriesSet } from './series.ts'
import type { Shown } from './shown.ts'
import styles from './time-chart.module.css'
import { Tooltip } from './tooltip.tsx'
import { useSize, useThemeName } from './use-size.ts'
import { useWheelZoom } from './use-wheel-zoom.ts'
import { colorAt, isBefore, linesAt, timeOf } from './words.ts'

export interface TimeChartProps {
  readonly set: SeriesSet
  readonly kind: ChartKind
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
  /** What is pointed at: the beginning of its bucket. */
  onPlace?: ((x: number | null) => void) | undefined
}

/** The first and the last bucket may reach beyond the ends of the chart. */
function pointAt(u: uPlot, x: number): void {
  const left = Math.max(0, Math.min(u.valToPos(x, 'x'), u.bbox.width / devicePixelRatio - 1))
  u.setCursor({ left, top: 10 })
}

/** Lines, bars or bars on each other over time. Arrows walk through it, shift and arrows choose a stretch, Enter zooms into it. */
export function TimeChart(props: TimeChartProps): ReactNode {
  const { set, kind, axis, bucketMs, shown, zone, unit, height, label, syncKey, shiftMs = 0 } = props
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const width = useSize(box)
  const themeName = useThemeName()
  // by its time: places change when series come and go
  const [pointed, setPointed] = useState<{ readonly x: number; readonly left: number } | null>(null)
  const cursor =
    pointed === null || set.xs.length === 0 ? null : { at: nearest(set.xs, pointed.x), left: pointed.left }
  const [anchor, setAnchor] = useState<number | null>(null)
  const bucket = useRef(bucketMs)
  bucket.current = bucketMs
  const zoom = useEffectEvent((from: number, to: number) => props.onZoom?.(from, to))
  const tellPlace = useEffectEvent((x: number | null) => props.onPlace?.(x))
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
  const latest = useRef({ picture, axis, set, pointed })
  latest.current = { picture, axis, set, pointed }
  // biome-ignore lint/correctness/useExhaustiveDependencies: made anew when its shape changes; data and sizes are set below
  useEffect(() => {
    const element = box.current
    if (element === null || width === 0) return
    const { picture: now, axis: range, pointed: before } = latest.current
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
        // whoever points at something goes on pointing at it when a series comes or goes
        onReady: (self) => {
          const x = before?.x
          if (x !== undefined) pointAt(self, x + (kind === 'line' ? 0 : (bucket.current ?? 0) / 2))
        },
        onCursor: (self) => {
          const { left = -1 } = self.cursor
          if (left < 0 || self.data[0].length === 0) {
            setPointed(null)
            tellPlace(null)
            return
          }
          const { xs } = latest.current.set
          const under = self.posToVal(left, 'x')
          const x = xs[kind === 'line' ? nearest(xs, under) : Math.max(0, placeAt(xs, under))] as number
          const px = Math.round(self.valToPos(x + (kind === 'line' ? 0 : (bucket.current ?? 0) / 2), 'x'))
          setPointed((was) => (was?.x === x && was.left === px ? was : { x, left: px }))
          tellPlace(x)
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
    pointAt(u, x + (kind === 'line' ? 0 : (bucketMs ?? 0) / 2))
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
