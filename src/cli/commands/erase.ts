import { Command } from 'commander'
import pc from 'picocolors'
import type { ErasurePlan, ErasureReport } from '../../lifecycle/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { confirm } from '../confirm.ts'
import { withContext } from '../context.ts'
import { formatNumber } from '../draw.ts'
import { countOf } from '../draw-moves.ts'
import { collect, parsePositive } from '../options.ts'
import { parseWhere } from '../query-args.ts'

interface EraseOptions {
  readonly where: readonly string[]
  readonly from?: string
  readonly to?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly wait?: number
}

export function eraseCommand(): Command {
  return new Command('erase')
    .description('remove rows for good: from PostgreSQL, from the files of the lake, and the old files')
    .argument('<dataset>', 'name as declared, e.g. metrics.requests')
    .option('-w, --where <condition>', 'as in a query: user_id=42, or JSON; repeat for and', collect, [])
    .option('--from <time>', 'only rows from it on: ISO 8601, a date (UTC), or "-30 days"')
    .option('--to <time>', 'only rows before it; as --from')
    .option('--dry-run', 'say what would be erased; change nothing')
    .option('-y, --yes', 'do not ask')
    .option('--wait <seconds>', 'wait so long for the old files to be removed', parsePositive)
    .addHelpText(
      'after',
      `
Stopped, it goes on when called again with the same condition. Append-only tables are erased from, too.
What it does not reach (backups, the write-ahead log, dead letters): docs/guide/erasing.md.`,
    )
    .action(async (name: string, options: EraseOptions, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        const definition = tm.dataset(name)
        if (options.where.length === 0)
          throw new TidemarkError('TM_QUERY', {
            path: '--where',
            problem: 'is missing; whose rows are meant?',
          })
        const selection = {
          where: parseWhere(options.where, definition),
          ...(options.from === undefined ? {} : { from: options.from }),
          ...(options.to === undefined ? {} : { to: options.to }),
        }
        if (options.dryRun === true) {
          const plan = await tm.planErasure(definition.name, selection, { signal })
          output.answer(plan, () => [
            `${plan.dataset}: ${describePlan(plan)}; nothing was changed`,
            ...drawLeftovers(plan),
          ])
          return
        }
        if (options.yes !== true) {
          const plan = await tm.planErasure(definition.name, selection, { signal })
          const question = `${plan.dataset}: ${describePlan(plan)}, for good.`
          await confirm('tidemark erase', 'erasing', question, signal)
        }
        // whose rows they were is in no log: the erasure's record has a salted hash of the condition
        const report = await audited(
          { act: 'erase', subject: definition.name },
          () => tm.eraseUnknown(definition.name, selection, { signal, waitMs: (options.wait ?? 0) * 1000 }),
          ({ id, rowsHot, rowsCold, files }) => ({
            erasure: String(id),
            rowsHot,
            rowsCold,
            files: files.length,
          }),
        )
        output.answer(report, () => [
          `${pc.green('✓')} ${report.dataset}: ${countOf(report.rowsHot + report.rowsCold, 'row')} erased${report.isResumed ? ', with those of a call that was stopped' : ''}; ${countOf(report.files.length, 'file')} written anew`,
          ...drawState(report),
          ...drawLeftovers(report),
        ])
      })
    })
}

function describePlan({ rowsHot, rowsCold, files }: ErasurePlan): string {
  const where = rowsCold > 0 ? ` (${formatNumber(rowsCold)} in the lake)` : ''
  return `${countOf(rowsHot + rowsCold, 'row')}${where} would be erased, ${countOf(files.length, 'file')} written anew`
}

function drawState({ id, erasedAt, waitsFor }: ErasureReport): string[] {
  if (erasedAt !== null) return [pc.dim(`  no file holds them any more; record ${id} of tidemark.erasure`)]
  return [
    pc.yellow(`! old files wait${waitsFor === null ? '' : `: ${waitsFor}`}`),
    pc.dim(
      `  the worker, or tidemark sweep, removes them; record ${id} of tidemark.erasure then has erased_at`,
    ),
  ]
}

function drawLeftovers({ leftovers }: Pick<ErasurePlan, 'leftovers'>): string[] {
  const { deadLetters, stagedImports } = leftovers
  const lines: string[] = []
  if (deadLetters.total > 0)
    lines.push(
      pc.yellow(
        `! ${countOf(deadLetters.total, 'dead letter')} of this dataset stay, ${formatNumber(deadLetters.naming)} with a value of the condition; to clear them:`,
      ),
      `  ${deadLetters.clear}`,
    )
  if (stagedImports > 0)
    lines.push(
      pc.yellow(
        `! ${countOf(stagedImports, 'import')} into the lake not done yet: erase again when they are`,
      ),
    )
  return lines
}
