import uPlot from 'uplot'
import { formatNumber, formatUnit } from '../format/index.ts'
import { insetLeft, insetRight } from './insets.ts'
import { timeTicks } from './ticks.ts'

/** What all charts share: axes, colours of the theme, and the way in which a stretch is chosen. */

export interface Theme {
  readonly surface: string
  readonly text: string
  readonly grid: string
  readonly axis: string
  readonly series: readonly string[]
}

/** Charts of one key share where the pointer is; what is dragged over is chosen in one chart only. */
const filters = { pub: (type: string): boolean => type !== 'mousedown' && type !== 'mouseup' }

export function readTheme(element: Element): Theme {
  const style = getComputedStyle(element)
  const of = (name: string): string => style.getPropertyValue(name).trim()
  return {
    surface: of('--surface'),
    text: of('--text-quiet'),
    grid: of('--surface-3'),
    axis: of('--border-strong'),
    series: Array.from({ length: 10 }, (_, i) => of(`--series-${i + 1}`)),
  }
}

/** Numbers beside the marks of the upward axis. */
export function markText(value: number, unit: string | undefined): string {
  if (unit === undefined || unit === '') return formatNumber(Number(value.toPrecision(12)), { compact: true })
  return formatUnit(Number(value.toPrecision(6)), unit)
}

export interface PlotOptions {
  readonly width: number
  readonly height: number
  readonly theme: Theme
  readonly zone: string
  readonly axis: { readonly from: number; readonly to: number }
  readonly yAxis: Partial<uPlot.Axis>
  readonly yScale: uPlot.Scale
  readonly series: readonly uPlot.Series[]
  readonly bands?: readonly uPlot.Band[]
  readonly syncKey?: string
  /** A stretch was drawn over with the mouse. */
  onSelect?(from: number, to: number): void
  onCursor(u: uPlot): void
  onDraw?(u: uPlot): void
  /** Everything has its place. */
  onReady?(u: uPlot): void
}

export function plotOptions(options: PlotOptions): uPlot.Options {
  const { theme, zone } = options
  const font = `12px ${getComputedStyle(document.body).fontFamily}`
  const axis = {
    stroke: theme.text,
    font,
    grid: { stroke: theme.grid, width: 1 },
    ticks: { stroke: theme.grid, width: 1, size: 4 },
  }
  return {
    width: options.width,
    height: options.height,
    ms: 1,
    tzDate: (ms) => uPlot.tzDate(new Date(ms), zone),
    padding: [8, insetRight, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: true, auto: false, min: options.axis.from, max: options.axis.to },
      y: options.yScale,
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 40,
        gap: 4,
        space: (_u, _axis, _min, _max, length) => (length < 420 ? 64 : 80),
        values: (_u, marks, _axis, _space, apart) => [...timeTicks(marks, apart, zone)],
      },
      { ...axis, size: insetLeft, gap: 6, ...options.yAxis },
    ],
    series: [{}, ...options.series],
    ...(options.bands === undefined ? {} : { bands: [...options.bands] }),
    cursor: {
      x: true,
      y: false,
      drag: { x: options.onSelect !== undefined, y: false, setScale: false, dist: 6 },
      bind: { dblclick: () => null },
      points: { size: 7, width: 2 },
      ...(options.syncKey === undefined ? {} : { sync: { key: options.syncKey, setSeries: false, filters } }),
    },
    hooks: {
      setSelect: [
        (u) => {
          const { left, width } = u.select
          if (width < 6 || options.onSelect === undefined) return
          const [from, to] = [u.posToVal(left, 'x'), u.posToVal(left + width, 'x')]
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
          options.onSelect(from, to)
        },
      ],
      setCursor: [options.onCursor],
      ...(options.onDraw === undefined ? {} : { draw: [options.onDraw] }),
      ...(options.onReady === undefined ? {} : { ready: [options.onReady] }),
    },
  }
}
