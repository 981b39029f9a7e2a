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
import { formatNumber, formatPercent } from '../format/index.ts'
import { binText, type Heat } from './heat.ts'
import styles from './heat-map.module.css'
import { insetLeft } from './insets.ts'
import { markText, plotOptions, readTheme } from './plot.ts'
import { placeAt } from './series.ts'
import { mix } from './ticks.ts'
import { Tooltip } from './tooltip.tsx'
import { useSize, useThemeName } from './use-size.ts'
import { timeOf } from './words.ts'

export interface HeatMapProps {
  readonly heat: Heat
  readonly axis: { readonly from: number; readonly to: number }
  readonly bucketMs: number | null
  readonly zone: string
  readonly unit?: string | undefined
  readonly height: number
  readonly label: string
  onZoom?: ((from: number, to: number) => void) | undefined
}

/** Few and many both show: the square root of the share. */
function depth(count: number, most: number): number {
  return most === 0 ? 0 : 0.12 + 0.88 * Math.sqrt(count / most)
}

/** The last bucket may reach beyond the end of the chart. */
const within = (left: number, width: number): number => Math.max(0, Math.min(left, width - 1))

/** A histogram of each bucket as a column of colours. Arrows walk through the cells. */
export function HeatMap({
  heat,
  axis,
  bucketMs,
  zone,
  unit,
  height,
  label,
  onZoom,
}: HeatMapProps): ReactNode {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const width = useSize(box)
  const themeName = useThemeName()
  const [cell, setCell] = useState<{
    readonly column: number
    readonly bin: number
    readonly left: number
  } | null>(null)
  const zoom = useEffectEvent((from: number, to: number) => onZoom?.(from, to))
  const canZoom = onZoom !== undefined
  const latest = useRef({ heat, axis, bucketMs })
  latest.current = { heat, axis, bucketMs }
  const xs = useMemo(() => heat.columns.map(({ x }) => x), [heat])
  const bins = heat.borders.length + 1
  const shape = JSON.stringify([themeName, zone, unit, bins, heat.borders, canZoom])
  // biome-ignore lint/correctness/useExhaustiveDependencies: made anew when its shape changes; data and sizes are set below
  useEffect(() => {
    const element = box.current
    if (element === null || width === 0) return
    const theme = readTheme(document.documentElement)
    const every = Math.max(1, Math.ceil(bins / Math.max(2, height / 36)))
    const u = new uPlot(
      plotOptions({
        width,
        height,
        theme,
        zone,
        axis: latest.current.axis,
        yScale: { range: [0, bins] },
        yAxis: {
          grid: { show: false },
          splits: () => heat.borders.map((_, i) => i + 1).filter((at) => (at - 1) % every === 0),
          values: (_u, marks) => marks.map((mark) => markText(heat.borders[mark - 1] as number, unit)),
        },
        series: [{ paths: () => null, points: { show: false } }],
        ...(canZoom ? { onSelect: (from: number, to: number) => zoom(from, to) } : {}),
        onCursor: (self) => {
          const { left = -1, top = -1 } = self.cursor
          const { heat: now } = latest.current
          if (left < 0 || top < 0) return setCell(null)
          const column = placeAt(
            now.columns.map(({ x }) => x),
            self.posToVal(left, 'x'),
          )
          const bin = Math.floor(self.posToVal(top, 'y'))
          if (column < 0 || bin < 0 || bin >= bins) return setCell(null)
          setCell((was) =>
            was?.column === column && was.bin === bin ? was : { column, bin, left: Math.round(left) },
          )
        },
        onDraw: (self) => draw(self, latest.current, theme.surface, theme.series[0] as string),
      }),
      [xs, xs.map(() => null)],
      element,
    )
    plot.current = u
    return () => {
      plot.current = null
      u.destroy()
    }
  }, [shape, width === 0])
  // biome-ignore lint/correctness/useExhaustiveDependencies: cells are drawn from what is there when it is drawn
  useEffect(() => {
    const u = plot.current
    u?.batch(() => {
      u.setData([xs, xs.map(() => null)], false)
      u.setScale('x', { min: axis.from, max: axis.to })
    })
    u?.redraw()
  }, [heat, xs, axis.from, axis.to, bucketMs])
  useEffect(() => {
    if (width > 0) plot.current?.setSize({ width, height })
  }, [width, height])

  const goTo = (column: number, bin: number): void => {
    const u = plot.current
    const x = heat.columns[column]?.x
    if (u === null || x === undefined) return
    u.setCursor({
      left: within(u.valToPos(x + (bucketMs ?? 0) / 2, 'x'), u.bbox.width / devicePixelRatio),
      top: u.valToPos(bin + 0.5, 'y'),
    })
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    const { column = -1, bin = 0 } = cell ?? {}
    const to: readonly [number, number] | undefined = (
      {
        ArrowRight: [column + 1, bin],
        ArrowLeft: [column < 0 ? heat.columns.length - 1 : column - 1, bin],
        ArrowUp: [Math.max(0, column), bin + 1],
        ArrowDown: [Math.max(0, column), bin - 1],
        Home: [0, bin],
        End: [heat.columns.length - 1, bin],
      } as const
    )[event.key as 'Home']
    if (to === undefined || heat.columns.length === 0) return
    event.preventDefault()
    goTo(Math.max(0, Math.min(heat.columns.length - 1, to[0])), Math.max(0, Math.min(bins - 1, to[1])))
  }
  const show = (x: number): string => markText(x, unit)
  const chosen = cell === null ? undefined : heat.columns[cell.column]
  const count = chosen?.counts[cell?.bin ?? 0] ?? 0
  const sum = chosen?.counts.reduce((all, one) => all + one, 0) ?? 0
  const what = cell === null ? '' : binText(heat.borders, cell.bin, show)
  const time = chosen === undefined ? '' : timeOf(chosen.x, bucketMs, zone)
  return (
    <div className={styles['heat']}>
      <div className={styles['chart']} style={{ height }}>
        <div ref={box} className={styles['box']} data-chart="heatmap" />
        <div
          className={styles['keys']}
          style={{ left: insetLeft }}
          role="slider"
          tabIndex={0}
          aria-label={`${label}. Arrow keys walk through the cells.`}
          aria-valuemin={0}
          aria-valuemax={Math.max(0, heat.columns.length - 1)}
          aria-valuenow={Math.max(0, cell?.column ?? 0)}
          aria-valuetext={
            chosen === undefined
              ? 'No cell is chosen'
              : `${time}, ${what}: ${formatNumber(count)} of ${formatNumber(sum)}`
          }
          onKeyDown={onKeyDown}
        />
        {cell !== null && chosen !== undefined && (
          <Tooltip
            left={insetLeft + cell.left}
            width={width}
            title={time}
            color={() => 0}
            lines={[
              { key: 'cell', name: what, text: formatNumber(count), size: count, isBefore: false },
              {
                key: 'share',
                name: 'of this bucket',
                text: sum === 0 ? '—' : formatPercent(count / sum),
                size: null,
                isBefore: true,
              },
            ]}
          />
        )}
      </div>
      <div className={styles['scale']} aria-hidden="true">
        <span>1</span>
        <span className={styles['ramp']} />
        <span>{formatNumber(heat.most, { compact: true })} in a cell</span>
      </div>
    </div>
  )
}

function draw(
  u: uPlot,
  { heat, bucketMs }: { readonly heat: Heat; readonly bucketMs: number | null },
  surface: string,
  color: string,
): void {
  const { ctx, bbox } = u
  const shades = Array.from({ length: 65 }, (_, i) => mix(surface, color, i / 64))
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  for (const { x, counts } of heat.columns) {
    const left = Math.round(u.valToPos(x, 'x', true))
    const right = Math.round(u.valToPos(x + (bucketMs ?? 0), 'x', true))
    counts.forEach((count, bin) => {
      if (count === 0) return
      const top = Math.round(u.valToPos(bin + 1, 'y', true))
      const bottom = Math.round(u.valToPos(bin, 'y', true))
      ctx.fillStyle = shades[Math.round(depth(count, heat.most) * 64)] as string
      const gap = right - left > 8 ? 1 : 0
      ctx.fillRect(left, top, Math.max(1, right - left - gap), Math.max(1, bottom - top - gap))
    })
  }
  ctx.restore()
}
