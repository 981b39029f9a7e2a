import { Command } from 'commander'
import pc from 'picocolors'
import { untilAborted, withContext } from '../context.ts'
import { type LogOptions, logLevelOption, openLog } from '../open-log.ts'
import { parsePort } from '../options.ts'
import { printMigration } from './migrate.ts'

export function devCommand(): Command {
  return new Command('dev')
    .description('everything in one process: PostgreSQL, migration, worker, HTTP; stays up')
    .option(
      '-p, --port <port>',
      'port of the HTTP server (default: of the configuration, 4680); 0 takes a free one',
      parsePort,
    )
    .addOption(logLevelOption())
    .action(async (options: LogOptions & { port?: number }, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, config, output, signal }) => {
        const report = await tm.migrate()
        if (!output.isJson) printMigration(report, output)
        const { log, jobs } = await openLog(config, options, output)
        await using worker = tm.createWorker(jobs)
        if (config.worker.enabled) worker.start()
        const { createServer, listen } = await loadServer()
        const app = await createServer(tm, { redisUrl: process.env['REDIS_URL'] || null, logger: log })
        try {
          const address = await listen(app, {
            host: config.server.host,
            port: options.port ?? config.server.port,
          })
          output.answer(
            { address, database: tm.target, datasets: tm.datasets.map((d) => d.name), migration: report },
            () => [
              `${pc.bold('tidemark')} answers at ${pc.cyan(address)}`,
              `  datasets   ${address}/api/v1/datasets`,
              `  OpenAPI    ${address}/openapi.json`,
              `  database   ${tm.target}`,
              'Ctrl-C stops it.',
            ],
          )
          await untilAborted(signal)
        } finally {
          await app.close()
        }
      })
    })
}

/**
 * The other commands start without the server's code. In a function of its own: tsc does not rewrite the `.ts` of an
 * `import()` beside `await using`, and the built command would not find it.
 */
function loadServer(): Promise<typeof import('../../api/index.ts')> {
  return import('../../api/index.ts')
}
