import { type Ended, type Running, startProcess } from './processes.ts'

/** Whatever a command says: tests compare it, and write there what they expect. */
// biome-ignore lint/suspicious/noExplicitAny: as JSON.parse gives it
type Document = any

export interface CommandLine {
  start(...args: string[]): Promise<Running>
  run(...args: string[]): Promise<Ended>
  /** With --json; `data` is the document on stdout. */
  json(...args: string[]): Promise<Omit<Ended, 'out'> & { readonly data: Document }>
}

/**
 * The `tidemark` command of the present sources, in processes of its own with an environment of only PATH, NO_COLOR and `env`.
 *
 * @example
 * const { run } = createCommandLine({ cwd: () => folder, env: () => ({ DATABASE_URL: test.connectionString }) })
 * expect(await run('migrate')).toMatchObject({ code: 0 })
 */
export function createCommandLine(options: {
  readonly cwd: () => string
  readonly env: () => Readonly<Record<string, string>>
  /** Behind those of each call. */
  readonly args?: () => readonly string[]
}): CommandLine {
  const start: CommandLine['start'] = (...args) =>
    startProcess('src/cli/main.ts', [...args, ...(options.args?.() ?? [])], {
      cwd: options.cwd(),
      env: { PATH: process.env['PATH'], NO_COLOR: '1', ...options.env() },
    })
  const run: CommandLine['run'] = async (...args) => (await start(...args)).ended
  return {
    start,
    run,
    async json(...args) {
      const { out, ...rest } = await run(...args, '--json')
      return { ...rest, data: JSON.parse(out) }
    },
  }
}
