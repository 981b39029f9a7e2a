import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCommandLine } from '../helpers/command-line.ts'

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

const { start, run } = createCommandLine({
  cwd: () => folder,
  env: () => ({ HOME: process.env['HOME'] ?? '' }),
})

it('the embedded server that a command started stays for another command that uses it', async () => {
  expect(await run('migrate')).toMatchObject({ code: 0 })
  const owner = await start('worker')
  await expect.poll(owner.err, { timeout: 60_000 }).toContain('worker runs')
  const guest = await start('worker')
  await expect.poll(guest.err, { timeout: 60_000 }).toContain('worker runs')
  owner.process.kill('SIGINT')
  await expect.poll(owner.err, { timeout: 60_000 }).toContain('other commands use this server')
  expect(await run('status', '--json')).toMatchObject({ code: 0 })
  guest.process.kill('SIGINT')
  expect(await guest.ended).toMatchObject({ code: 0 })
  expect(await owner.ended).toMatchObject({ code: 0 })
}, 90_000)
