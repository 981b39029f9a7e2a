import { Command } from 'commander'
import pc from 'picocolors'
import { createServer } from '../../api/index.ts'
import { untilAborted, withContext } from '../context.ts'
import { parsePort } from '../options.ts'
import { printMigration } from './migrate.ts'

export function devCommand(): Command {
  return new Command('dev')
    .description('everything in one process: PostgreSQL, migration, worker, HTTP on 127.0.0.1; stays up')
    .option('-p, --port <port>', 'port of the HTTP server', parsePort, 7337)
    .action(async (options: { port: number }, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, output, signal }) => {
        const report = await tm.migrate()
        if (!output.isJson) printMigration(report, output)
        await using worker = tm.createWorker()
        worker.start()
        const app = await createServer(tm)
        try {
          const address = await app.listen({ host: '127.0.0.1', port: options.port })
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
