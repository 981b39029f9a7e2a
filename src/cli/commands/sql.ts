import { Command } from 'commander'
import pc from 'picocolors'
import type { Tidemark } from '../../engine.ts'
import { withContext } from '../context.ts'
import { textTable } from '../draw.ts'
import { parsePositive } from '../options.ts'

interface Options {
  readonly print?: boolean
  readonly maxRows?: number
}

export function sqlCommand(): Command {
  return new Command('sql')
    .description('run SQL written for TimescaleDB: its functions are found, gaps are filled')
    .argument('<statement>', 'one statement')
    .option('--print', 'show the plain SQL that would run, for psql, a view or Grafana')
    .option(
      '--max-rows <n>',
      'rows of the answer at most (default: limits.maxRows); more are an error',
      parsePositive,
    )
    .action(async (statement: string, options: Options, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, output, signal }) => {
        if (options.print === true) {
          const plain = await tm.plainSql(statement)
          output.answer({ statement: plain }, () => [plain])
          return
        }
        const { maxRows } = options
        const answer = await tm.sql(statement, [], { signal, ...(maxRows === undefined ? {} : { maxRows }) })
        const frozen = namedOf(statement, (await tm.status()).datasets.filter(isFrozen))
        for (const { name, lake } of frozen)
          output.note(
            `SQL sees the rows of ${name} that are in PostgreSQL; ${lake?.coldChunks} chunks are in the lake: ask "tidemark query ${name}" for all of them`,
          )
        const table = textTable(
          answer.columns.map((title) => ({ title, align: 'left' as const })),
          answer.rows.map((row) => answer.columns.map((column) => show(row[column]))),
        )
        output.answer({ rows: answer.rows, notSeen: frozen.map(({ name }) => name) }, () =>
          table.map((line, i) => (i === 0 ? pc.bold(line) : line)),
        )
      })
    })
}

type DatasetStatus = Awaited<ReturnType<Tidemark['status']>>['datasets'][number]

function isFrozen({ lake }: DatasetStatus): boolean {
  return (lake?.coldChunks ?? 0) > 0
}

/** Those whose table the statement may read: by the word, which is enough for a note. */
function namedOf(statement: string, datasets: readonly DatasetStatus[]): readonly DatasetStatus[] {
  const words = new Set(statement.match(/[\p{L}_][\p{L}\p{N}_$]*/gu) ?? [])
  return datasets.filter(({ name }) => words.has(name.slice(name.indexOf('.') + 1)))
}

function show(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
