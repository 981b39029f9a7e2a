import { Command } from 'commander'
import pc from 'picocolors'
import { withContext } from '../context.ts'
import { formatBytes, formatNumber } from '../draw.ts'
import { countOf } from '../draw-moves.ts'
import { createProgressBar } from '../progress.ts'

export function verifyCommand(): Command {
  return new Command('verify')
    .description(
      'read every file of the lake and compare it with the catalog; changes nothing; exit code 1 on a problem',
    )
    .argument('[datasets...]', 'default: every hypertable')
    .option('--quick', 'only whether each file is there and has its size')
    .action(async (names: string[], options: { quick?: boolean }, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal }) => {
        const progress = createProgressBar(process.stderr, 'verifying')
        const report = await tm
          .verify(names.length === 0 ? null : names, {
            signal,
            content: options.quick !== true,
            onProgress: ({ rows, bytes }) => {
              if (output.isJson) return
              progress.update({
                share: null,
                text: `${formatNumber(rows)} rows, ${formatBytes(bytes)}`,
                etaMs: null,
              })
            },
          })
          .finally(() => progress.end())
        const wrong = report.problems.filter(({ kind }) => kind !== 'stray')
        output.answer(report, () => [
          `${wrong.length === 0 ? pc.green('✓') : pc.red('✗')} ${countOf(report.files, 'file')}, ${formatNumber(report.rows)} rows, ${formatBytes(report.bytes)}: ${wrong.length === 0 ? (options.quick ? 'all there' : 'each as it was written') : countOf(wrong.length, 'problem')}`,
          ...report.problems.map(({ kind, path, problem }) =>
            (kind === 'stray' ? pc.yellow : pc.red)(
              `  ${kind}: ${path === null ? '' : `${path}: `}${problem}`,
            ),
          ),
        ])
        if (wrong.length > 0) process.exitCode = 1
      })
    })
}
