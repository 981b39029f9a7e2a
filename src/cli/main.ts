#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Help } from 'commander'
import { alarmsCommand } from './commands/alarms.ts'
import { auditCommand } from './commands/audit.ts'
import { boardsCommand } from './commands/boards.ts'
import { compactCommand } from './commands/compact.ts'
import { deadLettersCommand } from './commands/dead-letters.ts'
import { devCommand } from './commands/dev.ts'
import { doctorCommand } from './commands/doctor.ts'
import { ejectCommand } from './commands/eject.ts'
import { eraseCommand } from './commands/erase.ts'
import { freezeCommand } from './commands/freeze.ts'
import { importCommand } from './commands/import.ts'
import { initCommand } from './commands/init.ts'
import { keysCommand } from './commands/keys.ts'
import { migrateCommand } from './commands/migrate.ts'
import { productCommand } from './commands/product.ts'
import { queryCommand } from './commands/query.ts'
import { refreshCommand } from './commands/refresh.ts'
import { reportsCommand } from './commands/reports.ts'
import { sqlCommand } from './commands/sql.ts'
import { statusCommand } from './commands/status.ts'
import { sweepCommand } from './commands/sweep.ts'
import { thawCommand } from './commands/thaw.ts'
import { verifyCommand } from './commands/verify.ts'
import { workerCommand } from './commands/worker.ts'
import { describeUsageError } from './options.ts'
import { outliveClosedPipes, reportError } from './output.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

const program = new Command('tidemark')
  .description('Time-series analytics on PostgreSQL: declare tables in TypeScript, import, query.')
  .version(version)
  .option('-c, --config <file>', 'configuration (default: tidemark.config.ts here or above)')
  .option('--json', 'print one JSON document and nothing else on stdout')
  .configureHelp({
    showGlobalOptions: true,
    // "(default: [])" says nothing
    optionDescription(option) {
      return Array.isArray(option.defaultValue)
        ? option.description
        : Help.prototype.optionDescription.call(this, option)
    },
  })
  .showSuggestionAfterError()
  // a wrong call is reported as every other error is: one sentence, or one JSON document, and exit code 2
  .exitOverride()
  .configureOutput({ outputError: () => {} })
  .addHelpText(
    'after',
    `
DATABASE_URL names the PostgreSQL server (15 to 18). Without it an embedded one is started; its data lies in
.tidemark/ beside the configuration.`,
  )

for (const command of [
  initCommand,
  devCommand,
  migrateCommand,
  importCommand,
  queryCommand,
  productCommand,
  sqlCommand,
  statusCommand,
  refreshCommand,
  freezeCommand,
  thawCommand,
  compactCommand,
  verifyCommand,
  eraseCommand,
  sweepCommand,
  ejectCommand,
  workerCommand,
  doctorCommand,
  alarmsCommand,
  deadLettersCommand,
  reportsCommand,
  boardsCommand,
  keysCommand,
  auditCommand,
]) {
  program.addCommand(command().copyInheritedSettings(program))
}

outliveClosedPipes()
try {
  await program.parseAsync()
} catch (error) {
  const isJson = process.argv.includes('--json')
  if (!(error instanceof CommanderError)) process.exitCode = reportError(error, isJson)
  else if (error.exitCode !== 0)
    process.exitCode = reportError(describeUsageError(error, process.argv[2]), isJson)
}
