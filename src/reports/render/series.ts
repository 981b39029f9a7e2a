import type { ReportAnswer } from '../contract.ts'

/** What a chart is made of: one for each number of an answer. */
export interface Chart {
  readonly title: string
  /** `line`: over time. `bar`: one for each group. */
  readonly kind: 'line' | 'bar'
  /** The largest first; the others are left out and counted. */
  readonly series: readonly Series[]
  readonly leftOut: number
}

export interface Series {
  /** Empty: there is one alone. */
  readonly name: string
  /** Ascending; `at` is ms since the epoch, or the place of a bar. A value that is none is a gap. */
  readonly points: readonly { readonly at: number; readonly value: number | null }[]
}

const mostSeries = 10
const mostBars = 20
const mostCharts = 12
const numbers = new Set(['int2', 'int4', 'int8', 'float4', 'float8', 'numeric'])

/** Which columns are numbers to draw, and of what; `by` names the groups of the query. */
export function chartsOf(
  { columns, rows }: Pick<ReportAnswer, 'columns' | 'rows'>,
  by: ReadonlySet<string>,
): readonly Chart[] {
  const time = columns.find(({ name, type }) => name === 'bucket' && type === 'timestamptz')?.name ?? null
  const groups = columns
    .filter(({ name, type }) => name !== time && (by.has(name) || !numbers.has(type)))
    .filter(({ type }) => !['jsonb', 'text[]'].includes(type))
    .map(({ name }) => name)
  const values = columns.filter(({ name, type }) => numbers.has(type) && !by.has(name))
  if (rows.length === 0 || (time === null && groups.length === 0)) return []
  return values
    .slice(0, mostCharts)
    .map(({ name }) => (time === null ? barsOf(rows, groups, name) : linesOf(rows, time, groups, name)))
}

function linesOf(rows: ReportAnswer['rows'], time: string, groups: readonly string[], value: string): Chart {
  const byName = new Map<string, { at: number; value: number | null }[]>()
  for (const row of rows) {
    const name = groups.map((group) => showGroup(row[group])).join(' · ')
    const points = byName.get(name) ?? []
    byName.set(name, points)
    points.push({ at: Date.parse(row[time] as string), value: numberOf(row[value]) })
  }
  const series = [...byName].map(([name, points]) => ({ name, points: points.sort((a, b) => a.at - b.at) }))
  const largest = series
    .map((one) => ({ one, size: one.points.reduce((sum, { value }) => sum + Math.abs(value ?? 0), 0) }))
    .sort((a, b) => b.size - a.size)
    .map(({ one }) => one)
  return {
    title: value,
    kind: 'line',
    series: largest.slice(0, mostSeries),
    leftOut: Math.max(0, largest.length - mostSeries),
  }
}

function barsOf(rows: ReportAnswer['rows'], groups: readonly string[], value: string): Chart {
  const bars = rows
    .map((row) => ({
      name: groups.map((group) => showGroup(row[group])).join(' · '),
      size: numberOf(row[value]),
    }))
    .sort((a, b) => Math.abs(b.size ?? 0) - Math.abs(a.size ?? 0))
  return {
    title: value,
    kind: 'bar',
    series: bars.slice(0, mostBars).map(({ name, size }, at) => ({ name, points: [{ at, value: size }] })),
    leftOut: Math.max(0, bars.length - mostBars),
  }
}

function showGroup(value: unknown): string {
  return value === null || value === undefined ? 'null' : String(value)
}

/** Values of JSON: large integers and decimals are text, so are NaN and the infinities, which have no place on an axis. */
function numberOf(value: unknown): number | null {
  if (typeof value !== 'number' && typeof value !== 'string') return null
  const number = Number(value)
  return value !== '' && Number.isFinite(number) ? number : null
}
