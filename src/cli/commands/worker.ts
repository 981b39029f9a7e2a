import { Command } from 'commander'
import pc from 'picocolors'
import type { Tidemark } from '../../engine.ts'
import { untilAborted, withContext } from '../context.ts'
import { formatDuration } from '../draw.ts'
import { type Log, type LogOptions, logLevelOption, openLog } from '../open-log.ts'

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
          await using once = tm.createWorker()
          const runs = await once.runOnce({ force: true })
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
        const { log, jobs } = await openLog(config, options, output, process.stdout)
        const app = config.worker.port === null ? null : await listenForMetrics(tm, log)
        try {
          await using worker = tm.createWorker(jobs)
          worker.start()
          output.note('worker runs; Ctrl-C stops it')
          await untilAborted(signal)
        } finally {
          await app?.close()
        }
      })
    })
}

/** Commands that do not listen start without the server's code. */
async function listenForMetrics(
  tm: Tidemark,
  log: Log['log'],
): Promise<Awaited<ReturnType<typeof import('../../api/index.ts')['createServer']>>> {
  const { createWorkerServer, listen } = await import('../../api/index.ts')
  const app = createWorkerServer(tm, { logger: log })
  const { host, port } = tm.config.worker
  try {
    const address = await listen(app, { host, port: port as number })
    log.info({ address }, 'answers /metrics, /healthz and /readyz')
    return app
  } catch (error) {
    await app.close()
    throw error
  }
}
