import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { afterFile } from './after-file.ts'
import { compiled } from './compiled.ts'

/** What a process has left behind. */
export interface Ended {
  /** Null: it died by `signal`. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

/** A process that runs; `out` and `err` are what it has written so far. */
export interface Running {
  readonly process: ChildProcess
  readonly out: () => string
  readonly err: () => string
  readonly ended: Promise<Ended>
}

/**
 * Starts a file of src/ or a `*-child.ts` of the tests in a process of its own, which does not outlive the test file.
 *
 * @example
 * const { ended } = await startProcess('test/ingest/import-child.ts', [test.connectionString, file])
 */
export async function startProcess(
  file: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Running> {
  const child = spawn(process.execPath, [await compiled(file), ...args], {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (data) => {
    out += data
  })
  child.stderr.on('data', (data) => {
    err += data
  })
  const ended = new Promise<Ended>((done) =>
    child.once('close', (code, signal) => done({ code, signal, out, err })),
  )
  afterFile(() => void child.kill('SIGKILL'))
  return { process: child, out: () => out, err: () => err, ended }
}

/**
 * Lets a process go on until it has told of `at` things done, as a number alone in a line, and kills it `waitMs` later; null:
 * lets it end. Fails when it ends in any other way.
 */
export async function killWhenDone(
  { process: child, ended }: Running,
  at: number | null,
  waitMs: number,
): Promise<'killed' | 'done'> {
  createInterface({ input: child.stdout! }).on('line', (line) => {
    if (at !== null && Number(line) >= at) setTimeout(() => child.kill('SIGKILL'), waitMs)
  })
  const { code, signal, out, err } = await ended
  if (signal === 'SIGKILL') return 'killed'
  if (code !== 0) throw new Error(`it ended with ${signal ?? code}:\n${err}\n${out}`)
  return 'done'
}
