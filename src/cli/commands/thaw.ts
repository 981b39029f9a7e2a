import { Command } from 'commander'
import pc from 'picocolors'
import { type ChunkOptions, countsOfMove, moveOf, toChoice, withChunkOptions } from '../chunk-options.ts'
import { withContext } from '../context.ts'
import { describeMove, describeMoved, drawLeftOut } from '../draw-moves.ts'
import { createProgressBar } from '../progress.ts'

export function thawCommand(): Command {
  const command = new Command('thaw')
    .description('take chunks back from the lake into PostgreSQL')
    .argument('<dataset>')
  return withChunkOptions(command, 'every chunk of it')
    .addHelpText(
      'after',
      `
What is older than freeze.after goes to the lake again with the worker's next run.

Example:
  tidemark thaw metrics.requests --from 2026-01-01 --to 2026-02-01`,
    )
    .action(async (name: string, options: ChunkOptions, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        const progress = createProgressBar(process.stderr, 'thawing')
        const choice = toChoice(options)
        const thaw = () =>
          tm.thaw(name, choice, {
            signal,
            onProgress: (state) => {
              if (!output.isJson) progress.update(describeMove(state))
            },
          })
        const report = await audited(
          moveOf('thaw', tm.dataset(name).name, choice),
          thaw,
          countsOfMove,
        ).finally(() => progress.end())
        output.answer(report, () => [
          report.chunks === 0
            ? `${report.dataset}: nothing of it is in the lake`
            : `${pc.green('✓')} ${report.dataset}: ${describeMoved(report)} back in PostgreSQL`,
          ...drawLeftOut(report),
        ])
        if (report.failed.length > 0) process.exitCode = 1
      })
    })
}
