import { Command } from 'commander'
import pc from 'picocolors'
import { withContext } from '../context.ts'
import { textTable } from '../draw.ts'

export function sqlCommand(): Command {
  return new Command('sql')
    .description('run SQL written for TimescaleDB: its functions are found, gaps are filled')
    .argument('<statement>', 'one statement')
    .option('--print', 'show the plain SQL that would run, for psql, a view or Grafana')
    .action(async (statement: string, options: { print?: boolean }, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, output }) => {
        if (options.print === true) {
          const plain = await tm.plainSql(statement)
          output.answer({ statement: plain }, () => [plain])
          return
        }
        const answer = await tm.sql(statement)
        const table = textTable(
          answer.columns.map((title) => ({ title, align: 'left' as const })),
          answer.rows.map((row) => answer.columns.map((column) => show(row[column]))),
        )
        output.answer({ rows: answer.rows }, () => table.map((line, i) => (i === 0 ? pc.bold(line) : line)))
      })
    })
}

function show(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
