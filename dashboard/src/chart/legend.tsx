import type { ReactNode } from 'react'
import { formatNumber } from '../format/index.ts'
import styles from './legend.module.css'
import type { SeriesSet } from './series.ts'
import { isolated, isShown, type Shown, toggled } from './shown.ts'
import { colorAt, exactText } from './words.ts'

export interface LegendProps {
  readonly set: SeriesSet
  readonly shown: Shown
  /** The place that is pointed at; null: the newest value. */
  readonly at: number | null
  readonly unit?: string | undefined
  onShown(shown: Shown): void
}

/** Names of series with a value each. A click leaves one alone, a click with shift takes one away or puts it back. */
export function Legend({ set, shown, at, unit, onShown }: LegendProps): ReactNode {
  const now = set.series.filter(({ key }) => !key.startsWith('before:'))
  if (now.length === 0) return null
  const place = at ?? set.xs.length - 1
  return (
    <div className={styles['legend']}>
      <ul aria-label="Series" className={styles['list']}>
        {now.map(({ key, label, exact }) => (
          <li key={key}>
            <button
              type="button"
              className={styles['item']}
              aria-pressed={isShown(shown, key)}
              title={`${label}\nClick: only this one. Shift and click: with or without it.`}
              onClick={(event) => onShown(event.shiftKey ? toggled(shown, key) : isolated(shown, key))}
            >
              <span className={styles['swatch']} data-series={colorAt(set, key) + 1} />
              <span className={styles['name']}>{label}</span>
              {now.length <= 40 && (
                <span className={styles['value']}>{lastText(exact, place, at !== null, unit)}</span>
              )}
            </button>
          </li>
        ))}
      </ul>
      {shown.kind !== 'all' && (
        <button type="button" className={styles['all']} onClick={() => onShown({ kind: 'all', keys: [] })}>
          Show all
        </button>
      )}
      {set.left > 0 && (
        <p className={styles['left']}>
          The {now.length} largest are drawn, {set.left} more are in the table and in the CSV file.
        </p>
      )}
    </div>
  )
}

/** Of the place that is pointed at, or the newest that has one. */
function lastText(
  exact: (at: number) => unknown,
  place: number,
  isPointed: boolean,
  unit: string | undefined,
): string {
  if (isPointed) return shortText(exact(place), unit)
  for (let i = place; i >= 0 && i > place - 500; i--) {
    const value = exact(i)
    if (value !== undefined && value !== null) return shortText(value, unit)
  }
  return '—'
}

/** Six digits do here: every one is told beside the pointer. */
function shortText(value: unknown, unit: string | undefined): string {
  if (typeof value === 'number' && !Number.isInteger(value) && (unit === undefined || unit === ''))
    return formatNumber(value, { digits: 6 })
  return exactText(value, unit) ?? '—'
}
