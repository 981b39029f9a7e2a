import pc from 'picocolors'
import {
  bar,
  formatBytes,
  formatDuration,
  formatNumber,
  sparkline,
  type TextColumn,
  textTable,
} from './draw.ts'

/** What the drawing needs of an answer; see docs/reference/query.md. */
export interface DrawableAnswer {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly plan: DrawablePlan
}

export interface DrawablePlan {
  readonly parts: readonly {
    readonly source: string
    readonly from: string | null
    readonly to: string | null
    readonly rows: number | null
    readonly bytes: number | null
    readonly files?: number
    readonly summaries?: number
    readonly ms: number
  }[]
  readonly aggregates?: readonly { readonly name: string; readonly used: boolean; readonly why: string }[]
  readonly partial?: readonly { readonly output: string; readonly before: string }[]
  readonly ms: { readonly total: number }
  readonly errorBounds: Readonly<Record<string, string>>
}

const maxTableRows = 60

/** A sparkline for each series when time goes along, else a table with bars for its first number. */
export function drawAnswer(answer: DrawableAnswer, groups: readonly string[], width: number): string[] {
  if (answer.rows.length === 0) return [pc.dim('no rows')]
  const numbers = answer.columns.filter(
    (column) => !groups.includes(column.name) && isNumeric(answer, column.name),
  )
  const hasBuckets = answer.columns.some((column) => column.name === 'bucket')
  const lines =
    hasBuckets && numbers.length > 0 && answer.rows.length > 1
      ? drawSeries(answer, groups, numbers, width)
      : []
  return [...lines, ...drawTable(answer, groups, numbers, hasBuckets)]
}

export function drawPlan(plan: DrawablePlan): string[] {
  const hasFiles = plan.parts.some(({ files }) => files !== undefined)
  const lines = textTable(
    [
      { title: 'part', align: 'left' },
      { title: 'from', align: 'left' },
      { title: 'to', align: 'left' },
      { title: 'rows read', align: 'right' },
      { title: 'bytes', align: 'right' },
      ...(hasFiles ? [{ title: 'files', align: 'left' } as const] : []),
      { title: 'time', align: 'right' },
    ],
    plan.parts.map((part) => [
      part.source,
      part.from ?? '-',
      part.to ?? '-',
      part.rows === null ? '-' : formatNumber(part.rows),
      part.bytes === null ? '-' : formatBytes(part.bytes),
      ...(hasFiles ? [filesOf(part)] : []),
      formatDuration(part.ms),
    ]),
  )
  for (const { name, used, why } of plan.aggregates ?? [])
    lines.push(`${used ? 'used' : 'not used'}: ${name} (${why})`)
  for (const { output, before } of plan.partial ?? [])
    lines.push(`${output}: not known before ${before}, where the rows are gone`)
  for (const [name, bound] of Object.entries(plan.errorBounds)) lines.push(`${name}: ${bound}`)
  lines.push(`total ${formatDuration(plan.ms.total)}`)
  return lines.map((line) => pc.dim(line))
}

/** `3 + 28 summaries`. */
function filesOf({ files, summaries }: DrawablePlan['parts'][number]): string {
  if (files === undefined) return '-'
  const more = summaries ? ` + ${formatNumber(summaries)} ${summaries === 1 ? 'summary' : 'summaries'}` : ''
  return `${formatNumber(files)}${more}`
}

const maxLabel = 36

/** What does not fit is taken from the key: the name of the output tells the lines of one key apart. */
function labelOf(key: string, name: string): string {
  const room = Math.max(1, maxLabel - name.length - 3)
  const shown = key.length > room ? `${key.slice(0, room - 1)}…` : key
  return [shown, name].filter(Boolean).join(' · ')
}

function drawSeries(
  answer: DrawableAnswer,
  groups: readonly string[],
  numbers: readonly { readonly name: string }[],
  width: number,
): string[] {
  const series = new Map<string, Readonly<Record<string, unknown>>[]>()
  for (const row of answer.rows) {
    const key = groups.map((group) => cell(row[group])).join(' · ')
    const rows = series.get(key)
    if (rows) rows.push(row)
    else series.set(key, [row])
  }
  const labelled = [...series].flatMap(([key, rows]) => {
    const ordered = [...rows].sort((a, b) => (String(a['bucket']) < String(b['bucket']) ? -1 : 1))
    return numbers.map(({ name }) => ({
      label: labelOf(key, name),
      values: ordered.map((row) => toNumber(row[name])),
    }))
  })
  const shown = labelled.slice(0, 40)
  const labelWidth = Math.min(maxLabel, Math.max(...shown.map(({ label }) => label.length)))
  const lines = shown.map(({ label, values }) => {
    const known = values.filter((value): value is number => value !== null)
    const span =
      known.length === 0 ? '' : `${formatNumber(Math.min(...known))} … ${formatNumber(Math.max(...known))}`
    return `${label.slice(0, labelWidth).padEnd(labelWidth)}  ${pc.cyan(sparkline(values, Math.max(20, width - labelWidth - 28)))}  ${pc.dim(span)}`
  })
  if (labelled.length > shown.length)
    lines.push(pc.dim(`… and ${labelled.length - shown.length} more series`))
  return [...lines, '']
}

function drawTable(
  answer: DrawableAnswer,
  groups: readonly string[],
  numbers: readonly { readonly name: string }[],
  hasBuckets: boolean,
): string[] {
  const drawn = hasBuckets || groups.length === 0 ? undefined : numbers[0]?.name
  const max = drawn === undefined ? 0 : Math.max(...answer.rows.map((row) => toNumber(row[drawn]) ?? 0))
  const columns: TextColumn[] = answer.columns.map((column) => ({
    title: column.name,
    align: numbers.some(({ name }) => name === column.name) ? 'right' : 'left',
  }))
  const shown = answer.rows.slice(0, maxTableRows)
  const cells = shown.map((row) => answer.columns.map((column) => cell(row[column.name])))
  if (drawn !== undefined) {
    columns.push({ title: '', align: 'left' })
    cells.forEach((row, i) => {
      row.push(bar(toNumber(shown[i]?.[drawn]), max))
    })
  }
  const [header = '', ...lines] = textTable(columns, cells)
  const table = [pc.bold(header), ...lines]
  if (answer.rows.length > shown.length)
    table.push(pc.dim(`… and ${answer.rows.length - shown.length} more rows (--json prints all)`))
  return table
}

const numericTypes = new Set(['int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'count'])

function isNumeric(answer: DrawableAnswer, name: string): boolean {
  return answer.columns.some((column) => column.name === name && numericTypes.has(column.type))
}

/** numeric arrives as decimal text; for a picture a double is near enough. */
function toNumber(value: unknown): number | null {
  if (value === null || value === undefined || value === '') return null
  const number = Number(value)
  return Number.isFinite(number) ? number : null
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '·'
  if (typeof value === 'number' || typeof value === 'bigint') return formatNumber(value)
  if (typeof value === 'object')
    return JSON.stringify(value, (_key, entry) => (typeof entry === 'bigint' ? entry.toString() : entry))
  return String(value).replaceAll('\n', '⏎')
}
