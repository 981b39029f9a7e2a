import type { ReactNode } from 'react'
import {
  formatAgo,
  formatBytes,
  formatInstant,
  formatMs,
  formatNumber,
  formatPercent,
  type Precision,
} from '../format/index.ts'
import { useNow, useZone } from '../shell/zone.tsx'
import { Icon } from './icon.tsx'
import styles from './values.module.css'

export interface TimeProps {
  readonly value: string | number | null
  readonly precision?: Precision
  /** `3 min ago` in place of the time, which is then told when it is pointed at. */
  readonly ago?: boolean
}

/** In the reader's zone, or UTC. */
export function Time({ value, precision = 'minute', ago }: TimeProps): ReactNode {
  if (value === null) return <span className={styles['none']}>—</span>
  return ago ? <Ago value={value} /> : <Instant value={value} precision={precision} />
}

function Instant({
  value,
  precision,
}: {
  readonly value: string | number
  readonly precision: Precision
}): ReactNode {
  const { zone } = useZone()
  const iso = typeof value === 'number' ? new Date(value).toISOString() : value
  return (
    <time
      dateTime={iso}
      title={`${formatInstant(value, zone, { precision: 'milli' })} ${zone} · ${iso}`}
      className={styles['time']}
    >
      {formatInstant(value, zone, { precision })}
    </time>
  )
}

function Ago({ value }: { readonly value: string | number }): ReactNode {
  const { zone } = useZone()
  const now = useNow()
  const iso = typeof value === 'number' ? new Date(value).toISOString() : value
  return (
    <time
      dateTime={iso}
      title={`${formatInstant(value, zone, { precision: 'milli' })} ${zone}`}
      className={styles['time']}
    >
      {formatAgo(value, now)}
    </time>
  )
}

export type Unit = 'rows' | 'bytes' | 'ms' | 'percent' | 'perSecond' | ''

export interface QuantityProps {
  readonly value: number | bigint | string | null
  readonly unit: Unit
  readonly digits?: number
}

/** A number as people read it; the exact one is told when it is pointed at. */
export function Quantity({ value, unit, digits }: QuantityProps): ReactNode {
  if (value === null) return <span className={styles['none']}>—</span>
  const text = quantityText(value, unit, digits)
  const exact = `${formatNumber(value, { digits: 15 })}${unit === '' || unit === 'percent' ? '' : ` ${unit === 'perSecond' ? 'per second' : unit}`}`
  return (
    <span className={styles['quantity']} title={exact}>
      {text}
    </span>
  )
}

export function quantityText(value: number | bigint | string, unit: Unit, digits?: number): string {
  const n = Number(value)
  if (unit === 'bytes') return formatBytes(n)
  if (unit === 'ms') return formatMs(n)
  if (unit === 'percent') return formatPercent(n)
  if (unit === 'perSecond')
    return `${formatNumber(Number(n.toPrecision(digits ?? 3)), { compact: true })}\u00a0/s`
  return formatNumber(value, { compact: true, ...(digits === undefined ? {} : { digits }) })
}

export type Tone = 'ok' | 'warn' | 'error' | 'info' | 'quiet'

/** A word about a state; its colour says nothing that the word does not. */
export function Badge({ kind, children }: { readonly kind: Tone; readonly children: ReactNode }): ReactNode {
  return (
    <span className={styles['badge']} data-kind={kind}>
      {(kind === 'error' || kind === 'warn') && <Icon name="warning" size={13} />}
      {children}
    </span>
  )
}

export interface ProgressProps {
  readonly label: string
  readonly done: number
  /** 0: nobody knows. */
  readonly total: number
}

export function Progress({ label, done, total }: ProgressProps): ReactNode {
  const share = total > 0 ? Math.min(1, done / total) : null
  return (
    <div className={styles['progress']}>
      <div className={styles['progress-text']}>
        <span>{label}</span>
        <span>{share === null ? '' : formatPercent(Math.floor(share * 100) / 100)}</span>
      </div>
      <progress aria-label={label} {...(share === null ? {} : { value: share, max: 1 })} />
    </div>
  )
}

export interface SparklineProps {
  readonly values: readonly (number | null)[]
  readonly label: string
  readonly unit?: Unit
  readonly width?: number
  readonly height?: number
}

/** The shape of what has been lately. */
export function Sparkline({ values, label, unit = '', width = 120, height = 28 }: SparklineProps): ReactNode {
  const known = values.filter((value): value is number => value !== null && Number.isFinite(value))
  const max = Math.max(...known, 0)
  const min = Math.min(...known, 0)
  const span = max - min || 1
  const x = (i: number): number =>
    values.length < 2 ? width / 2 : (i / (values.length - 1)) * (width - 2) + 1
  const y = (value: number): number => height - 2 - ((value - min) / span) * (height - 4)
  let path = ''
  let isPen = false
  values.forEach((value, i) => {
    if (value === null || !Number.isFinite(value)) {
      isPen = false
      return
    }
    const next = values[i + 1]
    const isAlone = !isPen && (next === undefined || next === null || !Number.isFinite(next))
    // one without neighbours is a short stroke
    if (isAlone) path += `M${(x(i) - 1.5).toFixed(1)} ${y(value).toFixed(1)}h3`
    else path += `${isPen ? 'L' : 'M'}${x(i).toFixed(1)} ${y(value).toFixed(1)}`
    isPen = true
  })
  const latest = known.at(-1)
  const says =
    latest === undefined
      ? `${label}: nothing yet`
      : `${label}: now ${quantityText(latest, unit)}, at most ${quantityText(max, unit)}`
  return (
    <svg
      role="img"
      aria-label={says}
      width={width}
      height={height}
      className={styles['spark']}
      viewBox={`0 0 ${width} ${height}`}
    >
      <title>{says}</title>
      <path d={path} />
    </svg>
  )
}

export interface StatProps {
  readonly label: string
  readonly value: ReactNode
  readonly hint?: ReactNode
  readonly trend?: readonly (number | null)[]
  readonly unit?: Unit
  readonly status?: 'ok' | 'warn' | 'error'
}

/** One figure that matters. */
export function Stat({ label, value, hint, trend, unit, status }: StatProps): ReactNode {
  return (
    <div className={styles['stat']} data-status={status}>
      <dt>{label}</dt>
      <dd>
        <span className={styles['stat-value']}>{value}</span>
        {trend && <Sparkline values={trend} label={label} unit={unit ?? ''} width={96} height={24} />}
      </dd>
      {hint && <dd className={styles['stat-hint']}>{hint}</dd>}
    </div>
  )
}
