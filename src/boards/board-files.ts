import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { formatInstant, type Instant, instantFromDate } from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { checkPanels, type Declared } from './check-panels.ts'
import type { Board } from './contract.ts'
import { readBoard } from './read-board.ts'

export interface FileBoard {
  readonly board: Board
  /** Names of what its panels are about. */
  readonly datasets: readonly string[]
  /** Relative to the configuration. */
  readonly file: string
}

/** No id of a stored board has a dash. */
export const filePrefix = 'file-'
const namePattern = /^[a-z0-9][a-z0-9_-]{0,62}$/

/**
 * Boards of the repository, each checked against what is declared.
 *
 * @param patterns of files, relative to the root: `boards/*.json`; `*` stands for any part of a file's name.
 * @throws TidemarkError TM_CONFIG with the file and the path in it.
 */
export async function readBoardFiles(
  root: string,
  patterns: readonly string[],
  now: Instant,
  declared: Declared,
): Promise<FileBoard[]> {
  const files = [...new Set((await Promise.all(patterns.map((pattern) => filesOf(root, pattern)))).flat())]
  const found = await Promise.all(files.sort().map((file) => readFileBoard(root, file, now, declared)))
  const seen = new Map<string, string>()
  for (const { board, file } of found) {
    const other = seen.get(board.id)
    if (other !== undefined) throw refused(file, `has the same name as ${other}`)
    seen.set(board.id, file)
  }
  return found
}

async function filesOf(root: string, pattern: string): Promise<string[]> {
  const folder = dirname(pattern)
  const names = basename(pattern)
  if (!names.includes('*')) return [join(folder, names)]
  const parts = names.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  const fits = new RegExp(`^${parts.join('.*')}$`)
  try {
    const entries = await readdir(resolve(root, folder), { withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile() && fits.test(entry.name))
      .map((entry) => join(folder, entry.name))
  } catch (error) {
    // a folder that is not there has no boards: a program may use the configuration from elsewhere
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw refused(pattern, `cannot be read: ${(error as Error).message}`, error)
  }
}

async function readFileBoard(
  root: string,
  file: string,
  now: Instant,
  declared: Declared,
): Promise<FileBoard> {
  const path = resolve(root, file)
  const name = basename(file).replace(/\.json$/, '')
  if (!namePattern.test(name) || !file.endsWith('.json'))
    throw refused(file, 'must be named with a-z, 0-9, - and _, and end in .json')
  try {
    const [text, { mtime }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    const { name: title, description = null, document } = readBoard(JSON.parse(text), now)
    const datasets = checkPanels(document, now, declared)
    const board: Board = {
      id: `${filePrefix}${name}`,
      name: title,
      description,
      version: 1,
      source: 'file',
      updatedAt: formatInstant(instantFromDate(mtime)),
      updatedBy: relative(root, path),
      document,
    }
    return { board, datasets, file }
  } catch (error) {
    throw refused(file, problemOf(error), error)
  }
}

function problemOf(error: unknown): string {
  if (!isTidemarkError(error)) return (error as Error).message
  const { path, problem } = error.params as { readonly path?: unknown; readonly problem?: unknown }
  return error.code === 'TM_QUERY' ? `${String(path)}: ${String(problem)}` : error.message
}

function refused(file: string, problem: string, cause?: unknown): TidemarkError {
  return new TidemarkError('TM_CONFIG', { path: `boards: ${file}`, problem }, { cause })
}
