import { Command } from 'commander'
import pc from 'picocolors'
import { untilAborted, withContext } from '../context.ts'
import { formatDuration } from '../draw.ts'
import { type LogOptions, logLevelOption, openLog } from '../open-log.ts'

export function workerCommand(): Command {
  return new Command('worker')
    .description(
      'run the background jobs: make chunks ahead, freeze and expire old ones, look after the lake and the change log',
    )
    .option('--once', 'run every job once and exit; exit code 1 when one failed')
    .addOption(logLevelOption())
    .action(async (options: LogOptions & { once?: boolean }, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, config, output, signal }) => {
        if (options.once) {
          const runs = await tm.createWorker().runOnce({ force: true })
          const plain = runs.map(({ name, ms, result, error }) => ({
            name,
            ms,
            result,
            error: error?.message ?? null,
          }))
          output.answer({ runs: plain }, () =>
            plain.map((run) =>
              run.error === null
                ? `${pc.green('✓')} ${run.name} ${formatDuration(run.ms)} ${pc.dim(JSON.stringify(run.result))}`
                : `${pc.red('✗')} ${run.name} ${run.error}`,
            ),
          )
          if (runs.some((run) => run.error !== null)) process.exitCode = 1
          return
        }
        const { jobs } = await openLog(config, options, output, process.stdout)
        await using worker = tm.createWorker(jobs)
        worker.start()
        output.note('worker runs; Ctrl-C stops it')
        await untilAborted(signal)
      })
    })
}
