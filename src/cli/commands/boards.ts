import { readFile, writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import pc from 'picocolors'
import type { Board, BoardInput, BoardSummary, Boards } from '../../boards/index.ts'
import type { Tidemark } from '../../engine.ts'
import { allTenants } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { withContext } from '../context.ts'
import { textTable } from '../draw.ts'
import { countOf } from '../draw-moves.ts'

interface Whose {
  readonly tenant?: string
}

const by = 'tidemark boards import'

export function boardsCommand(): Command {
  const command = new Command('boards')
    .description('boards of panels: list, export or import them; docs/guide/boards.md')
    .addHelpText(
      'after',
      `
tidemark boards list
tidemark boards export Zk3v9Qw1LmNp --out boards/latency.json
tidemark boards import boards/latency.json --tenant acme`,
    )
  command
    .command('list', { isDefault: true })
    .description('those of files, and those that are stored; with --tenant those of one')
    .option('--tenant <tenant>', 'whose; default: those of keys for every tenant')
    .action(async (options: Whose, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const boards = await of(tm, options).list()
        output.answer(boards, () => drawBoards(boards))
      })
    })
  command
    .command('export')
    .description('one board as JSON, as boards of the configuration and import take it')
    .argument('<id>')
    .option('--tenant <tenant>', 'whose')
    .option('-o, --out <file>', 'write it there; default: print it')
    .action(async (id: string, options: Whose & { out?: string }, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const input = toInput(await of(tm, options).find(id))
        const text = `${JSON.stringify(input, null, 2)}\n`
        if (options.out === undefined) return output.answer(input, () => [text.trimEnd()])
        await writeFile(options.out, text)
        output.answer({ file: options.out, id }, () => [`${pc.green('✓')} ${options.out}`])
      })
    })
  command
    .command('import')
    .description('store a board of a file; with --id in place of one that is there')
    .argument('<file>', 'JSON: name, description, document')
    .option('--tenant <tenant>', 'whose it is; default: of keys for every tenant')
    .option('--id <id>', 'of the board that it takes the place of')
    .action(async (file: string, options: Whose & { id?: string }, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const boards = of(tm, options)
        const input = await readJson(file)
        const board =
          options.id === undefined
            ? await boards.create(input, by)
            : await boards.save(options.id, input, null, by)
        output.answer(board, () => [
          `${pc.green('✓')} ${board.name} is stored as ${board.id}, with ${countOf(board.document.panels.length, 'panel')}`,
        ])
      })
    })
  return command
}

function of(tm: Tidemark, { tenant }: Whose): Boards {
  return tm.boardsOf(tenant === undefined ? allTenants : { kind: 'one', tenant })
}

function toInput({ name, description, document }: Board): BoardInput {
  return { name, ...(description === null ? {} : { description }), document }
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    throw new TidemarkError('TM_QUERY', { path: file, problem }, { cause: error })
  }
}

function drawBoards(boards: readonly BoardSummary[]): string[] {
  if (boards.length === 0) return ['there is no board; tidemark boards import FILE']
  return textTable(
    ['id', 'name', 'panels', 'version', 'changed', 'by'].map((title) => ({
      title,
      align: title === 'panels' || title === 'version' ? ('right' as const) : ('left' as const),
    })),
    boards.map(({ id, name, panels, version, source, updatedAt, updatedBy }) => [
      id,
      name,
      String(panels),
      source === 'file' ? '' : String(version),
      updatedAt,
      updatedBy,
    ]),
  )
}
