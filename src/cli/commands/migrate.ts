import { Command } from 'commander'
import pc from 'picocolors'
import type { ConversionProgress, ConversionReport, MigrationReport } from '../../migrate/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { withContext } from '../context.ts'
import { formatDuration, formatNumber } from '../draw.ts'
import type { Output } from '../output.ts'
import { createProgressBar, type ProgressState } from '../progress.ts'

interface Options {
  readonly dryRun?: boolean
  readonly convert?: boolean
  readonly dropOld?: boolean
  readonly cancelConversion?: string
  readonly dropAggregate?: string
}

export function migrateCommand(): Command {
  return new Command('migrate')
    .description('create and alter the declared tables; never loses a row')
    .option('--dry-run', 'show the SQL, change nothing')
    .option(
      '--convert',
      'turn existing tables that are declared as hypertables into such, while they are used; may be stopped and called again',
    )
    .option('--drop-old', 'with --convert: drop the old table at the end; otherwise it is kept beside')
    .option('--cancel-conversion <dataset>', 'take back what a conversion that was stopped has begun')
    .option('--drop-aggregate <name>', 'drop a continuous aggregate that is declared no more, with its cells')
    .action(async (options: Options, command: Command) => {
      assertTogether(options)
      await withContext(command.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        if (options.cancelConversion !== undefined) {
          const { name } = tm.dataset(options.cancelConversion)
          const cancelled = await audited({ act: 'conversion.cancel', subject: name }, () =>
            tm.cancelConversion(name, { signal }),
          )
          output.answer({ dataset: name, cancelled }, () => [
            cancelled
              ? `${pc.green('✓')} the conversion of ${name} is taken back; the table is as it was`
              : `there is no conversion of ${name}`,
          ])
          return
        }
        if (options.dropAggregate !== undefined) {
          const name = options.dropAggregate
          await audited({ act: 'aggregate.drop', subject: name }, () => tm.dropAggregate(name))
          output.answer({ dropped: name }, () => [`${pc.green('✓')} ${name} is dropped`])
          return
        }
        const progress = createProgressBar(process.stderr, 'converting')
        const onProgress = (state: ConversionProgress): void => {
          if (!output.isJson) progress.update(describeProgress(state))
        }
        const dryRun = options.dryRun === true
        const migrate = () =>
          tm.migrate({
            dryRun,
            convert: options.convert === true && { dropOld: options.dropOld === true, onProgress },
            signal,
          })
        const { convert, dropOld } = options
        const act = { act: 'migrate', subject: null, detail: { convert, dropOld } }
        const report = await (dryRun ? migrate() : audited(act, migrate, stepsOf)).finally(() =>
          progress.end(),
        )
        output.answer(report, () => drawMigration(report))
      })
    })
}

/** What was done, for the audit log; of very much the first. */
function stepsOf({ steps }: MigrationReport): { readonly steps: readonly string[] } {
  return { steps: steps.slice(0, 50).map(({ sentence }) => sentence) }
}

function assertTogether(options: Options): void {
  const refuse = (path: string, problem: string): never => {
    throw new TidemarkError('TM_CONFIG', { path, problem })
  }
  if (options.dropOld && !options.convert) refuse('--drop-old', 'needs --convert')
  if (options.cancelConversion !== undefined && (options.convert || options.dryRun))
    refuse('--cancel-conversion', `does not go together with ${options.convert ? '--convert' : '--dry-run'}`)
  if (options.dropAggregate !== undefined)
    for (const other of ['convert', 'dryRun', 'cancelConversion'] as const)
      if (options[other]) refuse('--drop-aggregate', `does not go together with ${spelled[other]}`)
}

const spelled = { convert: '--convert', dryRun: '--dry-run', cancelConversion: '--cancel-conversion' }

function describeProgress(state: ConversionProgress): ProgressState {
  const rows = Number(state.rowsCopied)
  return {
    share: state.phase === 'copying' && state.estimatedRows > 0 ? rows / state.estimatedRows : null,
    text:
      `${state.relation}: ${state.phase}, ${formatNumber(rows)} rows copied` +
      (state.waitsFor === null ? '' : `; waits for ${state.waitsFor}`),
    etaMs: null,
  }
}

function drawMigration(report: MigrationReport): string[] {
  const lines = report.steps.flatMap((step) => [
    `${report.dryRun ? '+' : pc.green('✓')} ${step.sentence}`,
    ...(report.dryRun ? step.statements.map((statement) => pc.dim(`    ${statement};`)) : []),
  ])
  if (report.dryRun && lines.length > 0) lines.unshift('not done, only shown:')
  for (const conversion of report.conversions) lines.push(...drawConversion(conversion))
  for (const drift of report.drift) lines.push(pc.yellow(`! ${drift.relation}: ${drift.sentence}`))
  for (const relation of report.undeclared)
    lines.push(pc.yellow(`! ${relation} is no longer declared; ${whatOfUndeclared(relation, report)}`))
  return lines.length > 0 ? lines : ['the database has everything that is declared']
}

function whatOfUndeclared(relation: string, { undeclaredAggregates }: MigrationReport): string {
  return undeclaredAggregates.includes(relation)
    ? `nobody refreshes it, and the change log and the retention of its hypertable wait for it; declare it again, or: tidemark migrate --drop-aggregate ${relation}`
    : 'it stays as it is'
}

function drawConversion(report: ConversionReport): string[] {
  const held =
    report.writersHeldMs === null
      ? ''
      : `; writers waited ${formatDuration(report.writersHeldMs)} at the swap` +
        (report.readersHeldMs === null ? '' : `, readers ${formatDuration(report.readersHeldMs)}`)
  return [
    `  ${report.relation}: ${formatNumber(report.rowsCopied)} rows copied${held}`,
    ...(report.keptAs === null ? [] : [`  the old table is kept as ${report.keptAs}`]),
    ...(report.unfinished === null ? [] : [pc.yellow(`! ${report.relation}: ${report.unfinished}`)]),
  ]
}

/** For commands that migrate on their way: on stderr, and only when something was done. */
export function printMigration(report: MigrationReport, output: Output): void {
  if (report.steps.length > 0) for (const line of drawMigration(report)) output.note(line)
}
