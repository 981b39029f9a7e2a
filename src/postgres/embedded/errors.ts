import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { TidemarkError } from '../../util/errors.ts'

export function embeddedError(
  problem: string,
  todo: string,
  options: { log?: string; cause?: unknown } = {},
): TidemarkError<'TM_EMBEDDED'> {
  const log = options.log?.trim()
  return new TidemarkError(
    'TM_EMBEDDED',
    { problem, todo, ...(log ? { log } : {}) },
    { cause: options.cause },
  )
}

const maxLogBytes = 4096

/** The end of what the server has written: before its log collector ran, and after. */
export function endOfLog(dataDir: string): string {
  const files = [join(dataDir, startupLogName)]
  const collected = listLogs(join(dataDir, 'log'))
  if (collected) files.push(collected)
  return lastLines(files.map(endOfFile).join('\n'))
}

export function lastLines(text: string): string {
  return text.slice(-maxLogBytes).trim().split('\n').slice(-30).join('\n')
}

export const startupLogName = 'tidemark-startup.log'

function listLogs(folder: string): string | null {
  try {
    const files = readdirSync(folder).map((name) => join(folder, name))
    return files.sort((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs).at(-1) ?? null
  } catch {
    // No log is written yet.
    return null
  }
}

function endOfFile(path: string): string {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return ''
  }
  try {
    const { size } = fstatSync(file)
    const bytes = Buffer.alloc(Math.min(size, maxLogBytes))
    readSync(file, bytes, 0, bytes.length, size - bytes.length)
    return bytes.toString('utf8')
  } finally {
    closeSync(file)
  }
}
