import { Command } from 'commander'
import type { ColumnDefinition, DatasetDefinition, QueryableDefinition } from '../../schema/index.ts'
import { withContext } from '../context.ts'
import { type DrawableAnswer, drawAnswer, drawPlan } from '../draw-answer.ts'
import { collect, parsePositive, splitList } from '../options.ts'
import { assertTogether, parseJson, parseSelect, parseWhere, readQuery, splitSelect } from '../query-args.ts'

interface QueryOptions {
  readonly select: readonly string[]
  readonly by: readonly string[]
  readonly where: readonly string[]
  readonly having?: string
  readonly from?: string
  readonly to?: string
  readonly bucket?: string
  readonly zone?: string
  readonly order: readonly string[]
  readonly limit?: number
  readonly fill?: string
  readonly columns: readonly string[]
  readonly latestBy: readonly string[]
  readonly direction?: string
  readonly cursor?: string
  readonly query?: string
  readonly plan?: boolean
  readonly timeout?: number
}

export function queryCommand(): Command {
  return new Command('query')
    .description('ask a dataset; draws the answer, or prints it whole with --json')
    .argument('<dataset>', 'name as declared, e.g. metrics.cpu')
    .option(
      '-s, --select <outputs>',
      'aggregates: name=fn(column), … e.g. n=count(),p95=percentile(latency_ms,0.95)',
      splitSelect,
      [],
    )
    .option('-b, --bucket <interval>', 'one answer per bucket: 15m, "1 hour", "1 month"')
    .option(
      '-z, --zone <zone>',
      'time zone of calendar buckets and of dates in --from and --to, e.g. Europe/Berlin',
    )
    .option('-g, --by <columns>', 'groups; properties.plan reaches into jsonb', splitList, [])
    .option(
      '-w, --where <condition>',
      'e.g. status=ok, "latency_ms>=10", model~gpt%, or JSON; repeat for and',
      collect,
      [],
    )
    .option('--having <json>', 'condition on the outputs, as JSON')
    .option('--from <time>', 'ISO 8601, a date (midnight in --zone, else UTC), or relative: "-30 days"')
    .option('--to <time>', 'as --from; not included')
    .option('-o, --order <outputs>', 'e.g. -n,model (minus: greatest first)', splitList, [])
    .option('-n, --limit <rows>', 'rows at most', parsePositive)
    .option('--fill <rule>', 'none, null, previous, linear, or a number')
    .option('--columns <columns>', 'raw rows: which columns', splitList, [])
    .option('--latest-by <columns>', 'the newest row of each series of these columns', splitList, [])
    .option('--direction <asc|desc>', 'raw rows: oldest or newest first')
    .option('--cursor <cursor>', 'raw rows: go on after the answer before')
    .option('-q, --query <json>', 'the whole query as JSON, or @file')
    .option('--plan', 'show which part came from where')
    .option('--timeout <ms>', 'give up after so long (default: limits.queryTimeout, 30 s)', parsePositive)
    .addHelpText(
      'after',
      `
Functions: count() sum avg min max first last stddev variance percentile(column,q) percentiles(column,q,…)
uniques countDistinct histogram(column,border,…) topK(column,k) increase rate delta timeWeightedAvg. Without --select rows are listed, with --latest-by the newest of each series.

Examples:
  tidemark query metrics.requests --bucket "1 hour" --by service --select "n=count(),p95=percentile(latency_ms,0.95)"
  tidemark query metrics.requests --from 2026-06-01 --zone Europe/Berlin --bucket "1 day" --select "n=count()"
  tidemark query metrics.requests --from "-1 hour" --where status=error --columns time,latency_ms --direction desc`,
    )
    .action(async (name: string, options: QueryOptions, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, output, signal }) => {
        const dataset = tm.queryable(name)
        const query =
          options.query === undefined ? toQuery(options, dataset) : await readQuery(options.query, options)
        const answer = (await tm.queryUnknown(dataset.name, query, {
          signal,
          ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
        })) as unknown as DrawableAnswer & { readonly cursor?: string | null }
        const groups = (query['by'] ?? (query['select'] === undefined ? keysOf(dataset) : [])) as string[]
        output.answer(answer, () => [
          ...drawAnswer(answer, groups, process.stdout.columns || 100),
          ...(answer.cursor ? [`more: --cursor ${answer.cursor}`] : []),
          ...(options.plan ? ['', ...drawPlan(answer.plan)] : []),
        ])
      })
    })
}

function toQuery(options: QueryOptions, dataset: QueryableDefinition): Record<string, unknown> {
  const ofCells = dataset.kind === 'aggregate'
  if (!ofCells) assertTogether(options)
  const query: Record<string, unknown> = {}
  const set = (key: string, value: unknown): void => {
    if (value !== undefined && !(Array.isArray(value) && value.length === 0)) query[key] = value
  }
  set('from', options.from)
  set('to', options.to)
  set('zone', options.zone)
  set('where', parseWhere(options.where, { columns: columnsOf(dataset) }))
  set('limit', options.limit)
  if (ofCells || options.latestBy.length > 0) set('latestBy', options.latestBy)
  if (ofCells || options.select.length > 0) {
    // of cells: every output of every key
    if (options.select.length > 0)
      set('select', parseSelect(options.select, ofCells ? Object.keys(dataset.select) : []))
    set('bucket', options.bucket)
    set('by', options.by)
    set('having', options.having === undefined ? undefined : parseJson(options.having, '--having'))
    set('order', options.order)
    set('fill', toFill(options.fill))
  }
  if (ofCells || options.select.length === 0) set('columns', options.columns)
  if (ofCells || (options.select.length === 0 && options.latestBy.length === 0)) {
    set('direction', options.direction)
    set('cursor', options.cursor)
  }
  return query
}

/** What cells are apart by; rows are by nothing. */
function keysOf(dataset: QueryableDefinition): readonly string[] {
  if (dataset.kind !== 'aggregate') return []
  const { base, by } = dataset
  return base.tenant === null ? by : [base.tenant, ...by]
}

/** What a condition may name, with its type. */
function columnsOf(dataset: QueryableDefinition): DatasetDefinition['columns'] {
  if (dataset.kind !== 'aggregate') return dataset.columns
  const dimensions = Object.entries(dataset.dimensions).map(
    ([name, { source, column }]) => [name, source.columns[column] as ColumnDefinition] as const,
  )
  return { ...dataset.base.columns, ...Object.fromEntries(dimensions) }
}

function toFill(fill: string | undefined): unknown {
  if (fill === undefined || fill.trim() === '' || Number.isNaN(Number(fill))) return fill
  return { constant: Number(fill) }
}
