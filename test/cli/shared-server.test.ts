import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const loader = import.meta.resolve('jiti/register')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-shared-'))
  // the server's own user must reach its data
  await chmod(folder, 0o755)
  await writeFile(
    join(folder, 'tidemark.config.mjs'),
    `import { defineConfig, table, t } from 'tidemark/schema'
export default defineConfig({ datasets: [table('notes', { columns: { id: t.int8() }, primaryKey: ['id'] })] })`,
  )
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function start(...args: string[]): {
  child: ChildProcess
  err: () => string
  closed: Promise<number | null>
} {
  const child = spawn(process.execPath, ['--import', loader, main, ...args], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let err = ''
  child.stderr?.on('data', (data) => {
    err += data
  })
  return { child, err: () => err, closed: new Promise((done) => child.once('close', done)) }
}

it('the embedded server that a command started stays for another command that uses it', async () => {
  const first = start('migrate')
  expect(await first.closed).toBe(0)
  const owner = start('worker')
  await expect.poll(owner.err, { timeout: 60_000 }).toContain('worker runs')
  const guest = start('worker')
  await expect.poll(guest.err, { timeout: 60_000 }).toContain('worker runs')
  owner.child.kill('SIGINT')
  await expect.poll(owner.err, { timeout: 60_000 }).toContain('other commands use this server')
  const status = start('status', '--json')
  expect(await status.closed).toBe(0)
  guest.child.kill('SIGINT')
  expect(await guest.closed).toBe(0)
  expect(await owner.closed).toBe(0)
}, 90_000)
