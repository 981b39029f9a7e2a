import { Command } from 'commander'
import pc from 'picocolors'
import { type EventsAnswer, type ProductKind, productKinds } from '../../product/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { withContext } from '../context.ts'
import { bar, formatDuration, formatNumber, type TextColumn, textTable } from '../draw.ts'
import { collect, parsePositive, splitList } from '../options.ts'
import { parseWhere, readQuery } from '../query-args.ts'

interface ProductOptions {
  readonly from?: string
  readonly to?: string
  readonly zone?: string
  readonly where: readonly string[]
  readonly steps: readonly string[]
  readonly within?: string
  readonly by?: string
  readonly order?: string
  readonly period?: string
  readonly periods?: number
  readonly kind?: string
  readonly silence?: string
  readonly bucket?: string
  readonly windows: readonly string[]
  readonly method?: string
  readonly of?: string
  readonly start?: string
  readonly end?: string
  readonly depth?: number
  readonly top?: number
  readonly since?: string
  readonly user?: string
  readonly anonymous?: string
  readonly event?: string
  readonly session?: string
  readonly page?: string
  readonly query?: string
  readonly timeout?: number
}

const kebab = (kind: string): string => kind.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

export function productCommand(): Command {
  return new Command('product')
    .description('ask about what users do, one event after the other; --json prints the answer whole')
    .argument('<kind>', productKinds.map(kebab).join(', '))
    .argument('<dataset>', 'a hypertable of events, as declared')
    .option('--from <time>', 'ISO 8601, a date (midnight in --zone, else UTC), or relative: "-30 days"')
    .option('--to <time>', 'as --from; not included (default: now)')
    .option('-z, --zone <zone>', 'whose days, weeks and months, e.g. Europe/Berlin')
    .option('-w, --where <condition>', 'e.g. plan=pro, or JSON; repeat for and', collect, [])
    .option('--steps <names>', 'funnel: names of events, in order', splitList, [])
    .option('--within <length>', 'funnel: from the first step to the last, e.g. "7 days"')
    .option('--by <column>', 'funnel: one for each value at the first step')
    .option('--order <order>', 'funnel: ordered or strict')
    .option('--period <length>', 'retention, lifecycle: "1 day", "1 week", "1 month"')
    .option('--periods <n>', 'retention: columns of the matrix', parsePositive)
    .option('--kind <kind>', 'retention: bounded or unbounded')
    .option('--silence <length>', 'sessions, top-pages, paths: how long one that ends a session is (timeout)')
    .option('--bucket <length>', 'sessions, active-users: one row for each')
    .option('--windows <lengths>', 'active-users: e.g. "1 day,7 days,30 days"', splitList, [])
    .option('--method <method>', 'active-users: exact, or uniques (sketches, from continuous aggregates)')
    .option('--of <what>', 'paths: page or event')
    .option('--start <place>', 'paths: begin here')
    .option('--end <place>', 'paths: end here')
    .option('--depth <n>', 'paths: places at most', parsePositive)
    .option('--top <n>', 'pages, paths: how many are named', parsePositive)
    .option('--since <time>', 'lifecycle: what was before is not looked at')
    .option(
      '--user <column>',
      'who; and --anonymous, --event, --session, --page: other columns than declared',
    )
    .option('--anonymous <column>', 'who, where the user is null')
    .option('--event <column>', 'names of events')
    .option('--session <column>', 'what a session is')
    .option('--page <column>', 'names of pages')
    .option('-q, --query <json>', 'the whole question as JSON, or @file')
    .option('--timeout <ms>', 'give up after so long (default: limits.queryTimeout, 30 s)', parsePositive)
    .addHelpText(
      'after',
      `
Examples:
  tidemark product funnel web.events --from "-30 days" --steps visit,signup,purchase --within "7 days"
  tidemark product retention web.events --from "-12 weeks" --period "1 week" --zone Europe/Berlin
  tidemark product active-users web.events --from "-30 days"`,
    )
    .action(async (name: string, datasetName: string, options: ProductOptions, command: Command) => {
      const kind = productKinds.find((one) => kebab(one) === name)
      if (!kind)
        throw new TidemarkError('TM_QUERY', {
          path: 'kind',
          problem: `there is no "${name}"; known: ${productKinds.map(kebab).join(', ')}`,
        })
      await withContext(command.optsWithGlobals(), async ({ tm, output, signal }) => {
        const dataset = tm.dataset(datasetName)
        const question =
          options.query === undefined
            ? toQuestion(options, dataset.columns)
            : await readQuery(options.query, options)
        const answer = await tm.productUnknown(kind, dataset.name, question, {
          signal,
          ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
        })
        output.answer(answer, () => [...drawEvents(kind, answer), '', pc.dim(drawParts(answer))])
      })
    })
}

function toQuestion(
  options: ProductOptions,
  columns: Parameters<typeof parseWhere>[1]['columns'],
): Record<string, unknown> {
  const { query: _query, timeout: _deadline, silence: timeout, where, ...parts } = options
  const asked = { ...parts, timeout, where: parseWhere(where, { columns }) }
  const question: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(asked))
    if (value !== undefined && !(Array.isArray(value) && value.length === 0)) question[key] = value
  return question
}

/** A line for each row; a bar beside the number that the question is about. */
export function drawEvents(kind: ProductKind, { rows }: EventsAnswer<object>): string[] {
  const [first] = rows
  if (!first) return [pc.dim('no rows')]
  const names = Object.keys(first)
  const drawn = barOf[kind]
  const values = rows.map((row) => Object.values(row) as unknown[])
  const numbers = values.map((row) => row[names.indexOf(drawn)])
  const most = Math.max(...numbers.map((value) => (typeof value === 'number' ? value : 0)))
  const isText = (at: number): boolean => values.some((row) => typeof row[at] === 'string')
  const columns: TextColumn[] = [
    ...names.map((title, at): TextColumn => ({ title, align: isText(at) ? 'left' : 'right' })),
    { title: '', align: 'left' },
  ]
  const cells = values.map((row, i) => [
    ...row.map((value, at) => cell(names[at]!, value)),
    typeof numbers[i] === 'number' ? bar(numbers[i], most) : '',
  ])
  const [header = '', ...lines] = textTable(columns, cells)
  return [pc.bold(header), ...lines]
}

const barOf: Readonly<Record<ProductKind, string>> = {
  funnel: 'users',
  retention: 'users',
  sessions: 'sessions',
  topPages: 'views',
  paths: 'users',
  activeUsers: 'stickiness',
  lifecycle: 'returning',
}

const shareNames = ['ofFirst', 'ofPrevious', 'bounceShare', 'stickiness', 'shares']

function cell(name: string, value: unknown): string {
  if (value === null || value === undefined) return name === 'from' || name === 'to' ? '(others)' : '·'
  if (Array.isArray(value)) return value.map((one) => cell(name, one)).join(' ')
  if (typeof value !== 'number') return String(value).replaceAll('\n', '⏎')
  if (name.endsWith('Seconds')) return formatDuration(value * 1000)
  return shareNames.includes(name) ? `${(value * 100).toFixed(1)}%` : formatNumber(value)
}

/** Where the answer comes from, and how far off it may be. */
export function drawParts({ plan }: EventsAnswer<object>): string {
  const parts = plan.parts.map(({ source, rows, files }) => {
    const count = rows === null ? '' : `${formatNumber(rows)} `
    if (source === 'hot') return `${count}events of PostgreSQL`
    if (source === 'cold') return `${count}events of ${formatNumber(files ?? 0)} files`
    return `${count}cells of ${source}`
  })
  const bound = plan.errorBound ? [`users ${plan.errorBound}`] : []
  return [...parts, ...bound, formatDuration(plan.elapsedMs)].join(', ')
}
