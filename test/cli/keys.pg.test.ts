import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const config = `
import { defineConfig, hypertable, t } from 'tidemark/schema'
const events = hypertable('events', {
  columns: { time: t.timestamptz(), tenant: t.text() }, time: 'time', tenant: 'tenant', chunk: '1 day',
})
export default defineConfig({ datasets: [events], server: { auth: { keys: true } } })
`

let test: TestDatabase
let folder: string
beforeAll(async () => {
  test = await createTestDatabase()
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-keys-'))
  await writeFile(join(folder, 'tidemark.config.ts'), config)
}, 60_000)
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await test.drop()
})

const { run, json } = createCommandLine({
  cwd: () => folder,
  env: () => ({ DATABASE_URL: test.connectionString }),
})

it('keys are made, listed, replaced and revoked; a secret is printed once, and what was done is in the audit log', async () => {
  const made = await run(
    ...['keys', 'create', 'reader', '--scope', 'query,ingest', '--tenant', 'acme'],
    ...['--dataset', 'events', '--expires', '90 days'],
  )
  expect(made.code).toBe(0)
  const [secret] = /tm_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}/.exec(made.out) as RegExpExecArray
  const { data: keys } = await json('keys')
  expect(keys).toMatchObject([
    {
      name: 'reader',
      scopes: ['ingest', 'query'],
      tenant: 'acme',
      datasets: ['public.events'],
      revokedAt: null,
    },
  ])
  expect(JSON.stringify(keys)).not.toContain(secret.slice(16))
  const { id } = keys[0]
  const rotated = await json('keys', 'rotate', id, '--overlap', '0')
  expect(rotated.data.secret).toMatch(/^tm_/)
  expect(rotated.data.secret).not.toBe(secret)
  expect(await run('keys', 'revoke', id)).toMatchObject({
    code: 0,
    out: expect.stringContaining('is revoked'),
  })
  const { data: audit } = await json('audit')
  expect(audit.map(({ act }: { act: string }) => act)).toEqual(['key.revoke', 'key.rotate', 'key.create'])
  expect(audit[0]).toMatchObject({ actorKind: 'cli', subject: id, outcome: 'done' })
  expect(JSON.stringify(audit)).not.toContain(secret.slice(16))
}, 120_000)
