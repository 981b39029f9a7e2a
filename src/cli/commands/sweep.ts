import { Command } from 'commander'
import pc from 'picocolors'
import { withContext } from '../context.ts'
import { formatBytes } from '../draw.ts'
import { countOf } from '../draw-moves.ts'

export function sweepCommand(): Command {
  return new Command('sweep')
    .description('remove files of the lake that nobody can need; the worker does so every hour')
    .option(
      '--adopt',
      'another database that has swept this lake (before a restore, a failover) is gone for good',
    )
    .action(async (options: { adopt?: boolean }, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        const adopt = options.adopt === true
        const report = await audited(
          { act: 'sweep', subject: null, ...(adopt ? { detail: { adopt } } : {}) },
          () => tm.sweep({ signal, adopt }),
          ({ removed, bytes }) => ({ removed, bytes }),
        )
        output.answer(report, () => [
          `${pc.green('✓')} ${countOf(report.removed, 'file')} removed, ${formatBytes(report.bytes)}; ${countOf(report.kept, 'file')} stay for now`,
          ...(report.held === null ? [] : [pc.yellow(`! ${report.held}`)]),
        ])
      })
    })
}
