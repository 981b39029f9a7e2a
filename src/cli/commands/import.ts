import { basename } from 'node:path'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import type { ImportOptions, ImportPlan, ImportPreview, ImportReport } from '../../ingest/index.ts'
import { describeNotes, importDefaults, importFormats, previewImport } from '../../ingest/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { withContext } from '../context.ts'
import { formatBytes, formatDuration, formatNumber, textTable } from '../draw.ts'
import { collect, parsePositive, splitList } from '../options.ts'
import { createProgressBar } from '../progress.ts'

interface Options {
  readonly into: string
  readonly format?: ImportOptions['format']
  readonly separator?: string
  readonly header?: boolean
  readonly map: readonly string[]
  readonly set: readonly string[]
  readonly time?: string
  readonly timeFormat: readonly string[]
  readonly timeZone?: string
  readonly null?: readonly string[]
  readonly ragged?: ImportOptions['ragged']
  readonly strict?: boolean
  readonly onConflict?: ImportOptions['onConflict']
  readonly batchRows?: number
  readonly connections?: number
  readonly limit?: number
  readonly maxDead?: number
  readonly cold?: boolean
  readonly again?: boolean
  readonly dryRun?: boolean
}

export function importCommand(): Command {
  return new Command('import')
    .description(
      'import CSV, NDJSON, access logs or Parquet (.gz too); goes on where a killed import stopped',
    )
    .argument('<files...>')
    .requiredOption('--into <dataset>', 'table as declared')
    .addOption(new Option('--format <format>', 'instead of guessing').choices([...importFormats]))
    .option('--separator <character>', 'CSV: instead of guessing; \\t is a tab')
    .option('--header', 'CSV: the first line holds names')
    .option('--no-header', 'CSV: it does not; fields are @1, @2, …')
    .option(
      '-m, --map <field=column>',
      'which field goes where; properties.x reaches into JSON; repeat',
      collect,
      [],
    )
    .option('--set <column=value>', 'a constant; repeat', collect, [])
    .option('--time <fields>', 'time column out of several fields: "year-month-day", "Date Time"')
    .option(
      '--time-format <[column=]format>',
      'iso, unix-s|ms|us|ns, clf, or a pattern such as "DD/MM/YYYY HH:mm"',
      collect,
      [],
    )
    .option('--time-zone <zone>', 'of times that name none: UTC, Europe/Berlin')
    .option('--null <words>', 'words that mean null, with commas', splitList)
    .addOption(
      new Option('--ragged <rule>', 'CSV rows with too few or many fields (default: refuse)').choices([
        'refuse',
        'fill',
      ]),
    )
    .option('--strict', 'stop at the first row that does not fit')
    .addOption(
      new Option('--on-conflict <rule>', 'rows whose key exists (default: error)').choices([
        'error',
        'ignore',
        'update',
      ]),
    )
    .option(
      '--batch-rows <n>',
      `records in a transaction (default: ${importDefaults.batchRows})`,
      parsePositive,
    )
    .option(
      '--connections <n>',
      `that write at the same time (default: ${importDefaults.connections})`,
      parsePositive,
    )
    .option('--limit <n>', 'records at most', parsePositive)
    .option('--max-dead <n>', `dead letters at most (default: ${importDefaults.maxDead})`, parsePositive)
    .option('--cold', 'for history: straight into the lake, all rows visible at once at the end')
    .option('--again', 'import a file again that was imported before')
    .option('--dry-run', 'show what would be done and the first rows; write nothing')
    .addHelpText(
      'after',
      `
Examples:
  tidemark import requests.csv.gz --into metrics.requests --dry-run
  tidemark import requests.csv.gz --into metrics.requests --time-zone UTC --map "Response ms=latency_ms"

What is not said is guessed and shown before the first row. Ctrl-C or a kill loses nothing: the same command goes on.`,
    )
    .action(async (files: string[], options: Options, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, output, signal }) => {
        const definition = tm.dataset(options.into)
        const importOptions = toImportOptions(
          options,
          definition.kind === 'hypertable' ? definition.time : null,
        )
        if (options.dryRun) {
          const previews: (ImportPreview & { readonly file: string })[] = []
          for (const file of files)
            previews.push({ file, ...(await previewImport({ definition, file, options: importOptions })) })
          output.answer({ previews }, () =>
            previews.flatMap(({ file, plan, rows, dead }) => [
              ...drawImportPlan(file, plan),
              '',
              ...textTable(
                Object.keys(definition.columns).map((title) => ({ title, align: 'left' as const })),
                rows.map((row) => Object.keys(definition.columns).map((name) => show(row[name]))),
                40,
              ),
              ...dead.map((letter) => pc.yellow(`line ${letter.line}: ${letter.message}`)),
            ]),
          )
          return
        }
        const progress = createProgressBar(process.stderr, 'importing')
        const { reports, skipped } = await tm
          .importFiles(definition.name, files, {
            ...importOptions,
            signal,
            onPlan: (plan, file) => drawImportPlan(file, plan).forEach(output.note),
            onProgress: ({ file, bytesRead, bytesTotal, rows, dead, recordsPerSecond, secondsLeft }) => {
              if (output.isJson) return
              progress.update({
                share: bytesTotal > 0 ? bytesRead / bytesTotal : null,
                text: `${basename(file)}: ${formatNumber(rows)} rows, ${formatNumber(Math.round(recordsPerSecond))}/s${dead > 0 ? `, ${formatNumber(dead)} dead letters` : ''}`,
                etaMs: secondsLeft === null ? null : secondsLeft * 1000,
              })
            },
          })
          .finally(() => progress.end())
        output.answer({ imports: reports, skipped }, () => [
          ...reports.flatMap(drawImportReport),
          ...skipped.map((file) => `- ${file}: was imported before; --again imports it once more`),
        ])
      })
    })
}

function drawImportPlan(file: string, plan: ImportPlan): string[] {
  const packed = plan.compression === 'none' ? '' : `, ${plan.compression}`
  const separator = plan.separator === null ? '' : `, separator ${JSON.stringify(plan.separator)}`
  return [
    `${file}: ${plan.format}${packed}${separator}`,
    ...plan.columns.map(
      (column) =>
        `  ${column.column} <- ${column.why}${column.timeFormat ? `, time format ${column.timeFormat}` : ''}`,
    ),
    ...(plan.unused.length > 0 ? [`  not used: ${plan.unused.join(', ')}`] : []),
    ...plan.remarks.map((remark) => `  ${remark}`),
  ]
}

export function drawImportReport(report: ImportReport): string[] {
  const rate = report.elapsedMs > 0 ? report.recordsThisRun / (report.elapsedMs / 1000) : 0
  const resumed = report.isResumed ? ` (resumed with ${formatNumber(report.recordsThisRun)} left)` : ''
  const lines = [
    `${pc.green('✓')} ${report.file}: ${formatNumber(report.rows)} rows into ${report.dataset}${resumed}, ` +
      `${formatBytes(report.bytes)} in ${formatDuration(report.elapsedMs)}, ${formatNumber(Math.round(rate))} rows/s`,
  ]
  if (report.ignored > 0) lines.push(`  ${formatNumber(report.ignored)} rows were there already`)
  if (report.updated > 0) lines.push(`  ${formatNumber(report.updated)} rows were overwritten`)
  if ((report.merged ?? 0) > 0)
    lines.push(
      `  ${formatNumber(report.merged as number)} rows are older than the retention: they are in continuous aggregates only`,
    )
  if (report.cold !== null) {
    const { files, chunks, bytes, warnings } = report.cold
    lines.push(
      `  in the lake: ${formatNumber(chunks)} ${chunks === 1 ? 'chunk' : 'chunks'}, ${formatNumber(files)} ${files === 1 ? 'file' : 'files'}, ${formatBytes(bytes)}`,
    )
    for (const warning of warnings) lines.push(pc.yellow(`  ${warning}`))
  }
  for (const note of describeNotes(report.notes)) lines.push(pc.dim(`  ${note}`))
  if (report.dead > 0) {
    lines.push(
      pc.yellow(
        report.dead === 1
          ? '  1 row did not fit; it is in tidemark.dead_letter:'
          : `  ${formatNumber(report.dead)} rows did not fit; they are in tidemark.dead_letter:`,
      ),
    )
    for (const [reason, count] of Object.entries(report.deadByReason))
      lines.push(`    ${reason}: ${formatNumber(count as number)}`)
  }
  return lines
}

function toImportOptions(options: Options, time: string | null): ImportOptions {
  const formats = options.timeFormat.map((entry) => splitPair(entry, '--time-format', time))
  return {
    ...(options.format === undefined ? {} : { format: options.format }),
    ...(options.separator === undefined ? {} : { separator: options.separator.replace('\\t', '\t') }),
    ...(options.header === undefined ? {} : { header: options.header }),
    ...(options.map.length === 0
      ? {}
      : {
          map: Object.fromEntries(
            options.map
              .map((entry) => splitPair(entry, '--map', null))
              .map(([field, column]) => [column, field]),
          ),
        }),
    ...(options.set.length === 0
      ? {}
      : { set: Object.fromEntries(options.set.map((entry) => splitPair(entry, '--set', null))) }),
    ...(options.time === undefined ? {} : { time: options.time }),
    ...(formats.length === 0 ? {} : { timeFormat: Object.fromEntries(formats) }),
    ...(options.timeZone === undefined ? {} : { timeZone: options.timeZone }),
    ...(options.null === undefined ? {} : { nullWords: options.null }),
    ...(options.ragged === undefined ? {} : { ragged: options.ragged }),
    ...(options.strict === undefined ? {} : { strict: options.strict }),
    ...(options.onConflict === undefined ? {} : { onConflict: options.onConflict }),
    ...(options.batchRows === undefined ? {} : { batchRows: options.batchRows }),
    ...(options.connections === undefined ? {} : { connections: options.connections }),
    ...(options.limit === undefined ? {} : { limit: options.limit }),
    ...(options.maxDead === undefined ? {} : { maxDead: options.maxDead }),
    ...(options.cold === undefined ? {} : { cold: options.cold }),
    ...(options.again === undefined ? {} : { again: options.again }),
  }
}

/** `a=b`; where a name is given for it, `b` alone means that. The last `=` splits, so that field names may have one. */
function splitPair(entry: string, option: string, alone: string | null): [string, string] {
  const at = option === '--map' ? entry.lastIndexOf('=') : entry.indexOf('=')
  if (at > 0) return [entry.slice(0, at), entry.slice(at + 1)]
  if (alone !== null && at < 0) return [alone, entry]
  const form = option === '--map' ? 'field=column' : option === '--set' ? 'column=value' : 'column=format'
  throw new TidemarkError('TM_CONFIG', { path: option, problem: `"${entry}" has not the form ${form}` })
}

function show(value: unknown): string {
  if (value === undefined) return '(default)'
  if (value === null) return '·'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
