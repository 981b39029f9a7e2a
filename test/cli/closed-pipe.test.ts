import { tmpdir } from 'node:os'
import { expect, it } from 'vitest'
import { createCommandLine } from '../helpers/command-line.ts'

const { start } = createCommandLine({ cwd: tmpdir, env: () => ({}) })

it.each<[string, string[], number]>([
  ['its help', ['--help'], 0],
  ['the help of a command', ['query', '--help'], 0],
  ['an error as JSON', ['query', '--json'], 2],
])(
  '%s into a pipe that nobody reads: no stack trace, and the exit code that it would have had',
  async (_what, args, code) => {
    const { process: child, ended } = await start(...args)
    // as `head` does when it has seen enough
    child.stdout!.destroy()
    expect(await ended).toMatchObject({ code, err: '' })
  },
)

it('an error that nobody reads ends with its exit code', async () => {
  const { process: child, ended } = await start('query')
  child.stderr!.destroy()
  expect(await ended).toMatchObject({ code: 2, out: '' })
})
