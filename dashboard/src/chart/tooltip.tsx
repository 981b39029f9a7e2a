import type { ReactNode } from 'react'
import styles from './tooltip.module.css'

export interface TooltipLine {
  readonly key: string
  readonly name: string
  readonly text: string
  readonly size: number | null
  readonly isBefore: boolean
}

export interface TooltipProps {
  /** Of what is pointed at, in the chart. */
  readonly left: number
  /** Of the chart. */
  readonly width: number
  readonly title: string
  readonly lines: readonly TooltipLine[]
  color(key: string): number
  readonly note?: string | null
}

const most = 12

/** What is told of a bucket, beside it; on the side where there is room. */
export function Tooltip({ left, width, title, lines, color, note }: TooltipProps): ReactNode {
  const isRight = left < width / 2
  return (
    <div
      className={styles['tip']}
      data-tooltip
      style={isRight ? { left: left + 12 } : { right: width - left + 12 }}
      aria-hidden="true"
    >
      <strong>{title}</strong>
      {lines.length === 0 && <p className={styles['none']}>no rows</p>}
      <dl>
        {lines.slice(0, most).map(({ key, name, text, isBefore }) => (
          <div key={key} data-before={isBefore || undefined}>
            <dt>
              <span className={styles['swatch']} data-series={color(key) + 1} />
              <span className={styles['name']}>{name}</span>
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      {lines.length > most && <p className={styles['none']}>and {lines.length - most} more</p>}
      {note && <p className={styles['none']}>{note}</p>}
    </div>
  )
}
