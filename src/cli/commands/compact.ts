import { Command } from 'commander'
import pc from 'picocolors'
import type { MoveReport } from '../../engine/index.ts'
import {
  type ChunkOptions,
  countsOfMove,
  datasetsOf,
  moveOf,
  toChoice,
  withChunkOptions,
} from '../chunk-options.ts'
import { withContext } from '../context.ts'
import { formatBytes } from '../draw.ts'
import { describeMove, describeMoved, drawLeftOut } from '../draw-moves.ts'
import { createProgressBar } from '../progress.ts'

export function compactCommand(): Command {
  const command = new Command('compact')
    .description('put late rows of frozen chunks into the lake, and write worn chunks anew as one file')
    .argument('[datasets...]', 'default: every hypertable')
  return withChunkOptions(command, 'every frozen chunk, also those that one file holds already')
    .addHelpText(
      'after',
      '\nWithout a choice those chunks are written that are worth it, as the worker does.',
    )
    .action(async (names: string[], options: ChunkOptions, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        const progress = createProgressBar(process.stderr, 'compacting')
        const reports: MoveReport[] = []
        try {
          for (const name of datasetsOf(tm, names, () => true, 'no hypertable is declared')) {
            const compact = () =>
              tm.compact(name, toChoice(options), {
                signal,
                onProgress: (state) => {
                  if (!output.isJson) progress.update(describeMove(state))
                },
              })
            reports.push(await audited(moveOf('compact', name, toChoice(options)), compact, countsOfMove))
          }
        } finally {
          progress.end()
        }
        output.answer({ compactions: reports }, () =>
          reports.flatMap((report) => [
            report.chunks === 0
              ? `${report.dataset}: nothing to compact`
              : `${pc.green('✓')} ${report.dataset}: ${describeMoved(report)}; ${formatBytes(report.bytes)}`,
            ...drawLeftOut(report),
          ]),
        )
        if (reports.some(({ failed }) => failed.length > 0)) process.exitCode = 1
      })
    })
}
