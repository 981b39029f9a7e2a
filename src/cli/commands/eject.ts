import { Command } from 'commander'
import pc from 'picocolors'
import { confirm } from '../confirm.ts'
import { withContext } from '../context.ts'
import { formatBytes, formatNumber } from '../draw.ts'
import { countOf, describeMove } from '../draw-moves.ts'
import { createProgressBar } from '../progress.ts'

export function ejectCommand(): Command {
  return new Command('eject')
    .description('take every row back and leave a plain partitioned table, with nothing of Tidemark on it')
    .argument('<dataset>')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      '\nStopped, it goes on when called again. Stop the workers first, and take the declaration away afterwards.',
    )
    .action(async (name: string, options: { yes?: boolean }, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        const definition = tm.dataset(name)
        if (options.yes !== true) {
          const { datasets } = await tm.status()
          const lake = datasets.find((each) => each.name === definition.name)?.lake
          const size =
            lake && lake.coldChunks > 0
              ? `${countOf(lake.coldChunks, 'chunk')} with ${formatNumber(lake.rows)} rows (${formatBytes(lake.bytes)} in the lake) come back into PostgreSQL, `
              : ''
          const question = `${definition.name}: ${size}and it is a hypertable no longer.`
          await confirm('tidemark eject', 'ejecting', question, signal)
        }
        const progress = createProgressBar(process.stderr, 'ejecting')
        const eject = () =>
          tm.eject(name, {
            signal,
            onProgress: (state) => {
              if (!output.isJson) progress.update(describeMove(state))
            },
          })
        const came = ({ partitions, thawedRows }: Awaited<ReturnType<typeof eject>>) => ({
          partitions,
          thawedRows,
        })
        const report = await audited({ act: 'eject', subject: definition.name }, eject, came).finally(() =>
          progress.end(),
        )
        output.answer(report, () => [
          `${pc.green('✓')} ${report.dataset} is a plain table with ${countOf(report.partitions, 'partition')}; ${formatNumber(report.thawedRows)} rows came back from the lake`,
          pc.dim(
            '  take it out of the configuration, or declare it with table(): the next migrate would take it back',
          ),
        ])
      })
    })
}
