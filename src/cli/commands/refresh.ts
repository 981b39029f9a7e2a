import { Command } from 'commander'
import pc from 'picocolors'
import type { RefreshProgress, RefreshReport } from '../../continuous/index.ts'
import { withContext } from '../context.ts'
import { formatDuration, formatNumber } from '../draw.ts'
import { countOf } from '../draw-moves.ts'
import { createProgressBar, type ProgressState } from '../progress.ts'

export function refreshCommand(): Command {
  return new Command('refresh')
    .description(
      'compute the cells of continuous aggregates that are not valid; the worker does so by itself',
    )
    .argument('[aggregates...]', 'default: all of them, each after what it stands on')
    .option('--from <time>', 'compute anew from here on, also what is valid')
    .option('--to <time>', 'up to here')
    .addHelpText(
      'after',
      `
Can be stopped at any time: what is done stays done, and the next call goes on. Buckets whose rows retention has dropped are left as
they are.

Examples:
  tidemark refresh
  tidemark refresh metrics.hourly --from "-7 days"
  tidemark refresh metrics.hourly --from 2026-01-01 --to 2026-02-01 --json`,
    )
    .action(async (names: string[], options: { from?: string; to?: string }, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        const progress = createProgressBar(process.stderr, 'refreshing')
        const reports: RefreshReport[] = []
        try {
          for (const name of names.length > 0 ? names : tm.aggregates.map((each) => each.name))
            reports.push(
              await audited(
                { act: 'refresh', subject: tm.queryable(name).name, detail: options },
                () =>
                  tm.refresh(name, {
                    ...options,
                    signal,
                    onProgress: (state) => {
                      if (!output.isJson) progress.update(describe(state))
                    },
                  }),
                ({ rows, cells }) => ({ rows, cells }),
              ),
            )
        } finally {
          progress.end()
        }
        output.answer({ refreshes: reports.map(plain) }, () =>
          reports.length === 0 ? ['no continuous aggregate is declared'] : reports.flatMap(draw),
        )
        if (reports.some(({ swap }) => swap?.kind === 'different')) process.exitCode = 1
      })
    })
}

function describe({
  aggregate,
  state,
  share,
  rows,
  cells,
  rangesLeft,
  secondsLeft,
}: RefreshProgress): ProgressState {
  return {
    share,
    text: `${aggregate}${state === 'building' ? ' (new version)' : ''}: ${formatNumber(rows)} rows, ${formatNumber(cells)} cells, ${countOf(rangesLeft, 'range')} left`,
    etaMs: secondsLeft === null ? null : secondsLeft * 1000,
  }
}

function plain({ versions, ...report }: RefreshReport): unknown {
  return { ...report, versions: versions.map((each) => ({ ...each, entries: Number(each.entries) })) }
}

function draw({ aggregate, versions, swap, isBusy, elapsedMs }: RefreshReport): string[] {
  const lines = versions.map(({ state, rows, cells, batches }) =>
    batches === 0
      ? `${pc.green('✓')} ${aggregate}: nothing to do`
      : `${pc.green('✓')} ${aggregate}${state === 'building' ? ', new version' : ''}: ${countOf(cells, 'cell')} from ${countOf(rows, 'row')} in ${formatDuration(elapsedMs)}`,
  )
  if (lines.length === 0) lines.push(`${pc.green('✓')} ${aggregate}: nothing to do`)
  const left = new Map(
    versions.flatMap((version) => version.left.map((part) => [JSON.stringify(part), part])),
  )
  for (const { from, to, reason } of left.values())
    lines.push(pc.yellow(`! ${aggregate} from ${from} to ${to} was left: ${reason}`))
  if (isBusy) lines.push(pc.yellow(`! ${aggregate} is being refreshed by somebody else`))
  if (swap?.kind === 'swapped')
    lines.push(
      `${pc.green('✓')} ${aggregate}: the new version took its place, ${countOf(swap.compared, 'bucket')} compared`,
    )
  else if (swap) lines.push((swap.kind === 'different' ? pc.red : pc.yellow)(`  ${swap.problem}`))
  return lines
}
