import type { Report, ReportAnswer, ReportRun } from '../contract.ts'
import { drawChart } from './chart.ts'
import { escapeHtml } from './escape.ts'
import { type Chart, chartsOf } from './series.ts'

/** Rows of the table; all of them are in the CSV. */
const mostRows = 1000

/** One page that needs nothing else: no script, no font, no picture; light or dark as its reader has it; fit for print and mail. */
export function toHtml(report: Report, run: ReportRun, answer: ReportAnswer): string {
  const by = Array.isArray(report.query['by']) ? new Set(report.query['by'].map(String)) : new Set<string>()
  const charts = chartsOf(answer, by)
  const { title, dataset } = report
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<header>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(dataset)}, ${rangeOf(answer)}. As of ${timeOf(run.asOf)}; asked ${timeOf(run.askedAt)}, ${run.elapsedMs} ms.</p>
</header>
${charts.map(figureOf).join('\n')}
${tableOf(answer)}
<footer>${sourcesOf(answer)}</footer>
</main>
</body>
</html>
`
}

function figureOf(chart: Chart): string {
  const named = chart.kind === 'line' ? chart.series.filter(({ name }) => name !== '') : []
  const legend = named.map(({ name }) => {
    const i = chart.series.findIndex((one) => one.name === name)
    return `<li class="s${i}">${escapeHtml(name)}</li>`
  })
  const left = chart.leftOut === 0 ? '' : `<li class="left">and ${chart.leftOut} more, which are smaller</li>`
  return `<figure>
<figcaption>${escapeHtml(chart.title)}</figcaption>
${drawChart(chart)}
${legend.length + left.length === 0 ? '' : `<ul class="legend">${legend.join('')}${left}</ul>`}
</figure>`
}

function tableOf({ columns, rows }: ReportAnswer): string {
  if (rows.length === 0) return '<p class="none">There is no row in this range.</p>'
  const isNumber = columns.map(({ type }) => /^(int|float|numeric)/.test(type))
  const cells = (tag: string, values: readonly string[]): string =>
    values.map((value, i) => `<${tag}${isNumber[i] ? ' class="number"' : ''}>${value}</${tag}>`).join('')
  const head = cells(
    'th',
    columns.map(({ name }) => escapeHtml(name)),
  )
  const body = rows.slice(0, mostRows).map(
    (row) =>
      `<tr>${cells(
        'td',
        columns.map(({ name }) => escapeHtml(show(row[name]))),
      )}</tr>`,
  )
  const rest =
    rows.length > mostRows ? `<p class="none">${rows.length - mostRows} more rows are in the CSV.</p>` : ''
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div>${rest}`
}

function show(value: unknown): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function rangeOf({ plan }: ReportAnswer): string {
  const { range } = plan as { readonly range?: { readonly from: string | null; readonly to: string | null } }
  const [from, to] = [range?.from ?? null, range?.to ?? null]
  if (from === null && to === null) return 'everything that there is'
  return `${from === null ? 'until' : `${timeOf(from)} to`} ${to === null ? 'now' : timeOf(to)}`
}

/** Which parts came from where, and what is not exact. */
function sourcesOf({ plan }: ReportAnswer): string {
  const { parts = [], errorBounds = {} } = plan as {
    readonly parts?: readonly { readonly source: string }[]
    readonly errorBounds?: Readonly<Record<string, string>>
  }
  const sources = [...new Set(parts.map(({ source }) => source))]
  const bounds = Object.entries(errorBounds).map(([name, bound]) => `${name}: ${bound}`)
  return escapeHtml(
    [
      sources.length === 0 ? '' : `Read from ${sources.join(', ')}.`,
      ...bounds.map((text) => `${text}.`),
    ].join(' '),
  )
}

function timeOf(iso: string): string {
  return `<time datetime="${escapeHtml(iso)}">${escapeHtml(iso.replace('T', ' ').replace(/(:\d\d)(\.\d+)?Z$/, '$1 UTC'))}</time>`
}

/** Okabe and Ito's colours, which people who see few colours can tell apart, and two more. */
const colours = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#b58900',
  '#56b4e9',
  '#8b5cf6',
  '#6b7280',
  '#dc2626',
  '#65a30d',
]

const style = `
:root { color-scheme: light dark; --ink: #111827; --soft: #6b7280; --line: #e5e7eb; --back: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #9ca3af; --line: #374151; --back: #111827 } }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem }
h1 { font-size: 1.6rem; margin: 0 } header p, footer, .none, .left { color: var(--soft) }
figure { margin: 2rem 0 } figcaption { font-weight: 600; margin-bottom: .25rem } svg { width: 100%; height: auto }
.grid { stroke: var(--line) } .tick { fill: var(--soft); font-size: 12px } .series path { fill: none; stroke-width: 2 }
.bar rect { fill: ${colours[0]} }
${colours.map((colour, i) => `.series.s${i} path { stroke: ${colour} } .series.s${i} circle { fill: ${colour} } .legend .s${i}::before { background: ${colour} }`).join('\n')}
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; padding: 0; margin: .5rem 0 0 }
.legend li:not(.left)::before { content: ''; display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .35rem .75rem; border-bottom: 1px solid var(--line); white-space: nowrap } .number { text-align: right }
footer { margin-top: 2rem; font-size: .9rem }
@media print { .scroll { overflow: visible } figure, tr { break-inside: avoid } }
`
