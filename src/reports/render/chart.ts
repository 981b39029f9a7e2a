import { scaleLinear, scaleUtc } from 'd3-scale'
import { line } from 'd3-shape'
import { escapeHtml } from './escape.ts'
import type { Chart, Series } from './series.ts'

const width = 720
const height = 240
const margin = Object.freeze({ top: 8, right: 16, bottom: 28, left: 64 })
const barHeight = 22

/** A chart as SVG that needs nothing else: colours come from the page's style, exact values from `title`. */
export function drawChart(chart: Chart): string {
  return chart.kind === 'line' ? drawLines(chart) : drawBars(chart)
}

function drawLines({ title, series }: Chart): string {
  const points = series.flatMap((one) => one.points)
  const values = points.flatMap(({ value }) => value ?? [])
  const [first, last] = [Math.min(...points.map(({ at }) => at)), Math.max(...points.map(({ at }) => at))]
  const x = scaleUtc([first, first === last ? last + 1 : last], [margin.left, width - margin.right])
  const y = scaleLinear(domainOf(values), [height - margin.bottom, margin.top]).nice(5)
  const draw = line<Series['points'][number]>(
    ({ at }) => x(at),
    ({ value }) => y(value as number),
  ).defined(({ value }) => value !== null)
  const format = x.tickFormat(6)
  const marks = [
    ...y
      .ticks(5)
      .map(
        (tick) =>
          `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${round(y(tick))}" y2="${round(y(tick))}"/>` +
          `<text class="tick" x="${margin.left - 8}" y="${round(y(tick) + 4)}" text-anchor="end">${escapeHtml(showTick(tick))}</text>`,
      ),
    ...x
      .ticks(6)
      .map(
        (tick) =>
          `<text class="tick" x="${round(x(tick))}" y="${height - 8}" text-anchor="middle">${escapeHtml(format(tick))}</text>`,
      ),
  ]
  const lines = series.map(({ points, name }, i) => {
    const path = draw(points)
    const shown = name === '' ? '' : `<title>${escapeHtml(name)}</title>`
    return (
      `<g class="series s${i}">${path ? `<path d="${path}">${shown}</path>` : ''}` +
      // a value between two gaps is no line
      points
        .filter((point, at) => isLonely(points, at) && point.value !== null)
        .map(
          ({ at, value }) =>
            `<circle cx="${round(x(at))}" cy="${round(y(value as number))}" r="2">${shown}</circle>`,
        )
        .join('') +
      '</g>'
    )
  })
  return svg(title, height, [...marks, ...lines])
}

function isLonely(points: Series['points'], at: number): boolean {
  return (points[at - 1]?.value ?? null) === null && (points[at + 1]?.value ?? null) === null
}

function drawBars({ title, series }: Chart): string {
  const whole = series.length * barHeight + margin.top
  const left = 200
  const values = series.flatMap(({ points }) => points[0]?.value ?? [])
  const x = scaleLinear(domainOf([0, ...values]), [left, width - margin.right - 56]).nice(5)
  const zero = x(0)
  const bars = series.map(({ name, points }, i) => {
    const value = points[0]?.value ?? null
    const [from, to] = value === null ? [zero, zero] : [Math.min(zero, x(value)), Math.max(zero, x(value))]
    const label = name.length > 30 ? `${name.slice(0, 29)}…` : name
    return (
      `<g class="bar"><title>${escapeHtml(`${name}: ${value ?? 'null'}`)}</title>` +
      `<text class="tick" x="${left - 8}" y="${i * barHeight + 15}" text-anchor="end">${escapeHtml(label)}</text>` +
      `<rect x="${round(from)}" y="${i * barHeight + 3}" width="${round(Math.max(to - from, 1))}" height="${barHeight - 6}"/>` +
      `<text class="tick" x="${round(to + 6)}" y="${i * barHeight + 15}">${value === null ? 'null' : escapeHtml(showTick(value))}</text></g>`
    )
  })
  return svg(title, whole, bars)
}

function svg(title: string, tall: number, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${width} ${tall}" role="img" aria-label="${escapeHtml(title)}">${parts.join('')}</svg>`
}

/** Without a value from 0 to 1; of one value around it. */
function domainOf(values: readonly number[]): [number, number] {
  if (values.length === 0) return [0, 1]
  const least = values.reduce((a, b) => Math.min(a, b))
  const most = values.reduce((a, b) => Math.max(a, b))
  if (least < most) return [least > 0 && least < most / 2 ? 0 : least, most]
  return least === 0 ? [0, 1] : [Math.min(0, least), Math.max(0, most)]
}

function showTick(value: number): string {
  const size = Math.abs(value)
  if (size !== 0 && (size < 0.001 || size >= 1e15)) return value.toExponential(2)
  return new Intl.NumberFormat('en', {
    notation: size >= 10_000 ? 'compact' : 'standard',
    maximumFractionDigits: size < 10 ? 3 : 1,
  }).format(value)
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
