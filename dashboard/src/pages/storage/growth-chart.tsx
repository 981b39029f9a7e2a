import { type ReactNode, useEffect, useRef, useState } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { formatBytes, formatInstant } from '../../format/index.ts'
import { useTheme } from '../../shell/index.ts'
import styles from './growth.module.css'
import type { GrowthData } from './growth-data.ts'
import { useWidth } from './use-width.ts'

const height = 200

/** Bytes in the lake, and those in PostgreSQL above them. */
export function GrowthChart({
  data,
  zone,
  label,
}: {
  readonly data: GrowthData
  readonly zone: string
  readonly label: string
}): ReactNode {
  const [element, width] = useWidth<HTMLDivElement>()
  const { theme } = useTheme()
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(data)
  latest.current = data
  const [at, setAt] = useState<number | null>(null)
  // biome-ignore lint/correctness/useExhaustiveDependencies: colours are read anew with the theme
  useEffect(() => {
    const { current } = element
    if (current === null || width === 0) return
    plot.current = new uPlot(optionsOf(width, zone, setAt), columnsOf(latest.current), current)
    return () => {
      plot.current?.destroy()
      plot.current = null
    }
  }, [element, width, zone, theme])
  useEffect(() => {
    plot.current?.setData(columnsOf(data))
  }, [data])
  const place = at ?? data.times.length - 1
  const time = data.times[place]
  const cold = data.cold[place] ?? 0
  const total = data.total[place] ?? 0
  return (
    <figure>
      <div ref={element} className={styles['plot']} role="img" aria-label={label} />
      <figcaption className={styles['readout']}>
        <span className={styles['when']}>{time === undefined ? '' : formatInstant(time * 1000, zone)}</span>
        <span>
          <i data-tier="hot" /> PostgreSQL {formatBytes(total - cold)}
        </span>
        <span>
          <i data-tier="cold" /> lake {formatBytes(cold)}
        </span>
        <span>together {formatBytes(total)}</span>
      </figcaption>
    </figure>
  )
}

function columnsOf({ times, total, cold }: GrowthData): uPlot.AlignedData {
  return [[...times], [...total], [...cold]]
}

function optionsOf(width: number, zone: string, onCursor: (at: number | null) => void): uPlot.Options {
  const token = (name: string): string =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim()
  const area = (tier: string): Pick<uPlot.Series, 'stroke' | 'fill' | 'width' | 'points'> => ({
    stroke: token(tier),
    fill: token(tier),
    width: 1,
    points: { show: false },
  })
  const axis: uPlot.Axis = {
    stroke: token('--text-quiet'),
    grid: { stroke: token('--border'), width: 1 },
    ticks: { stroke: token('--border'), width: 1 },
    font: '11px system-ui, sans-serif',
  }
  return {
    width,
    height,
    padding: [8, 40, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
    scales: { y: { range: (_plot, _least, most) => [0, Math.max(1024, most * 1.1)] } },
    series: [{}, { label: 'PostgreSQL', ...area('--tier-hot') }, { label: 'lake', ...area('--tier-cold') }],
    axes: [
      {
        ...axis,
        size: 28,
        space: 90,
        values: (_plot, ticks, _axis, _space, step) => ticks.map((tick) => tickText(tick, step, zone)),
      },
      { ...axis, size: 72, values: (_plot, ticks) => ticks.map(formatBytes), incrs: binarySteps },
    ],
    hooks: { setCursor: [({ cursor }) => onCursor(cursor.idx ?? null)] },
  }
}

/** A day, or within days its time. */
function tickText(seconds: number, step: number, zone: string): string {
  const text = formatInstant(seconds * 1000, zone)
  return step >= 86_400 || text.endsWith('00:00') ? text.slice(0, -6) : text.slice(-5)
}

/** Ticks of bytes are whole ones of IEC. */
const binarySteps = Array.from({ length: 60 }, (_, power) => 2 ** power)
