import { Command } from 'commander'
import pc from 'picocolors'
import type { MigrationReport } from '../../migrate/index.ts'
import { withContext } from '../context.ts'
import type { Output } from '../output.ts'

export function migrateCommand(): Command {
  return new Command('migrate')
    .description('create and alter the declared tables; never loses a row')
    .option('--dry-run', 'show the SQL, change nothing')
    .action(async (options: { dryRun?: boolean }, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, output, signal }) => {
        const report = await tm.migrate({
          dryRun: options.dryRun === true,
          signal,
          onStep: (step) => output.note(step.sentence),
        })
        output.answer(report, () => drawMigration(report))
      })
    })
}

export function drawMigration(report: MigrationReport): string[] {
  const lines = report.steps.flatMap((step) => [
    `${report.dryRun ? 'would' : pc.green('✓')} ${step.sentence}`,
    ...(report.dryRun ? step.statements.map((statement) => pc.dim(`    ${statement};`)) : []),
  ])
  for (const drift of report.drift) lines.push(pc.yellow(`! ${drift.relation}: ${drift.sentence}`))
  for (const relation of report.undeclared)
    lines.push(pc.yellow(`! ${relation} is no longer declared; it stays as it is`))
  return lines.length > 0 ? lines : ['the database has everything that is declared']
}

/** For commands that migrate on their way: on stderr, and only when something was done. */
export function printMigration(report: MigrationReport, output: Output): void {
  if (report.steps.length > 0) for (const line of drawMigration(report)) output.note(line)
}
