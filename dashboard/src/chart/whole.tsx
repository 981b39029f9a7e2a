import type { ReactNode } from 'react'
import { formatInstant, formatNumber, formatPercent, formatUnit } from '../format/index.ts'
import { groupText, isDrawable, type TableOfAnswer, toPoint } from './series.ts'
import styles from './whole.module.css'
import { exactText } from './words.ts'

/** Answers without buckets: a figure, or a bar for each group. */

export interface WholeProps {
  readonly table: TableOfAnswer
  readonly before?: TableOfAnswer | undefined
  readonly by: readonly string[]
  readonly unit?: string | undefined
  readonly zone: string
}

type Row = Readonly<Record<string, unknown>>

function outputsOf(
  { columns }: TableOfAnswer,
  by: readonly string[],
): readonly { readonly name: string; readonly type: string }[] {
  return columns.filter(({ name }) => name !== 'bucket' && !by.includes(name))
}

const keyOf = (row: Row, by: readonly string[]): string => JSON.stringify(by.map((name) => String(row[name])))
const nameOf = (row: Row, by: readonly string[]): string => by.map((name) => groupText(row[name])).join(' · ')

/** Against the period before: `+12 %`. */
export function changeText(now: number | null, before: number | null): string | null {
  if (now === null || before === null) return null
  if (before === 0) return now === 0 ? 'the same' : 'from 0'
  const share = (now - before) / Math.abs(before)
  return `${share > 0 ? '+' : ''}${formatPercent(share)}`
}

function valueText(value: unknown, type: string, unit: string | undefined, zone: string): string {
  if (value === null || value === undefined) return '—'
  if (type === 'timestamptz' && typeof value === 'string')
    return formatInstant(value, zone, { precision: 'second' })
  if (Array.isArray(value))
    return value
      .map((one: unknown) =>
        typeof one === 'object' && one !== null
          ? groupText((one as { value: unknown }).value)
          : formatUnit(one as number, unit),
      )
      .join(' · ')
  return toPoint(value) === null ? groupText(value) : figure(value as number, unit)
}

/** Short where it is long: the exact one is in the title. */
function figure(value: number | string | bigint, unit: string | undefined): string {
  const n = Number(value)
  if (unit !== undefined && unit !== '') return formatUnit(n, unit)
  return Math.abs(n) >= 1e7 ? formatNumber(n, { compact: true }) : formatNumber(n)
}

/** Each output as a large figure; with groups those of the first rows. */
export function Figures({ table, before, by, unit, zone }: WholeProps): ReactNode {
  const outputs = outputsOf(table, by)
  const earlier = new Map((before?.rows ?? []).map((row) => [keyOf(row, by), row]))
  const rows = table.rows.slice(0, 24)
  return (
    <dl className={styles['figures']}>
      {rows.flatMap((row) =>
        outputs.map(({ name, type }) => {
          const old = earlier.get(keyOf(row, by))
          const change = changeText(toPoint(row[name]), toPoint(old?.[name]))
          return (
            <div key={`${keyOf(row, by)} ${name}`}>
              <dt>
                {by.length > 0 && `${nameOf(row, by)} · `}
                {name}
              </dt>
              <dd title={exactText(row[name], undefined) ?? ''}>{valueText(row[name], type, unit, zone)}</dd>
              {change !== null && (
                <dd className={styles['change']}>
                  {change} against before ({valueText(old?.[name], type, unit, zone)})
                </dd>
              )}
            </div>
          )
        }),
      )}
      {table.rows.length > rows.length && (
        <p className={styles['more']}>and {table.rows.length - rows.length} more groups: see the table</p>
      )}
    </dl>
  )
}

/** The largest groups of the first output that is a number, as bars. */
export function BarList({ table, before, by, unit, zone }: WholeProps): ReactNode {
  const output = outputsOf(table, by).find(
    ({ type }) => isDrawable(type) && type !== 'histogram' && type !== 'topK' && type !== 'percentiles',
  )
  if (output === undefined) return null
  const earlier = new Map((before?.rows ?? []).map((row) => [keyOf(row, by), row]))
  const rows = [...table.rows]
    .sort((a, b) => (toPoint(b[output.name]) ?? 0) - (toPoint(a[output.name]) ?? 0))
    .slice(0, 50)
  const most = Math.max(...rows.map((row) => Math.abs(toPoint(row[output.name]) ?? 0)), 0)
  return (
    <div className={styles['bars']}>
      <ol aria-label={`${output.name}, the largest first`}>
        {rows.map((row) => {
          const value = toPoint(row[output.name])
          const old = earlier.get(keyOf(row, by))
          const change = changeText(value, toPoint(old?.[output.name]))
          return (
            <li key={keyOf(row, by)}>
              <span className={styles['name']} title={nameOf(row, by)}>
                {by.length === 0 ? output.name : nameOf(row, by)}
              </span>
              <span className={styles['track']}>
                <span
                  className={styles['bar']}
                  style={{ width: `${most === 0 || value === null ? 0 : (Math.abs(value) / most) * 100}%` }}
                />
              </span>
              <span className={styles['value']}>
                {valueText(row[output.name], output.type, unit, zone)}
                {change !== null && <small> {change}</small>}
              </span>
            </li>
          )
        })}
      </ol>
      {table.rows.length > rows.length && (
        <p className={styles['more']}>and {table.rows.length - rows.length} more groups: see the table</p>
      )}
    </div>
  )
}
