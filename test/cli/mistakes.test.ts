import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCommandLine } from '../helpers/command-line.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-mistakes-'))
  await writeFile(
    join(folder, 'tidemark.config.ts'),
    `import { defineConfig, hypertable, t } from 'tidemark/schema'
export default defineConfig({ datasets: [hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), service: t.text(), latency_ms: t.float8() }, time: 'time', chunk: '1 day',
})] })`,
  )
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const { run, json } = createCommandLine({
  cwd: () => folder,
  // no server is there: what is wrong is seen before one is asked
  env: () => ({ DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/none' }),
})

it.each<[string, string[], RegExp]>([
  [
    'an unknown dataset',
    ['query', 'metrics.request', '--select', 'n=count()'],
    /declared: metrics\.requests/,
  ],
  ['an unknown column', ['query', 'metrics.requests', '--select', 'sum(latency)'], /latency_ms/],
  ['a file that is not there', ['import', 'no.csv', '--into', 'metrics.requests'], /no\.csv/],
  ['a configuration that is not there', ['status', '--config', 'other.ts'], /other\.ts/],
  ['a select that is none', ['query', 'metrics.requests', '--select', 'n'], /name=function\(column\)/],
  ['an unknown option', ['status', '--chunk'], /tidemark status: unknown option '--chunk'.*--chunks/],
])('%s: one clear error, exit code 2, also as JSON', async (_what, args, message) => {
  const plain = await run(...args)
  expect(plain).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) })
  const { code, data } = await json(...args)
  expect(code).toBe(2)
  expect(data.error.message).toMatch(message)
})

it.each<[string, string[], RegExp]>([
  [
    'a freeze of a table without freeze.after and no choice',
    ['freeze', 'metrics.requests'],
    /declare freeze\.after; say which chunks/,
  ],
  ['a thaw without a choice', ['thaw', 'metrics.requests'], /say which chunks/],
  ['an age that is none', ['freeze', 'metrics.requests', '--older-than', 'old'], /olderThan/],
  ['a chunk that is no number', ['thaw', 'metrics.requests', '--chunk', 'x'], /a chunk has a number/],
  ['a table that is not declared', ['verify', 'metrics.nothing'], /metrics\.nothing/],
])('%s: one clear error, exit code 2', async (_what, args, message) => {
  expect(await run(...args)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) })
})

it('a server that is not there: exit code 1, and no password in the message', async () => {
  const { code, err, data } = await json('status')
  expect(code).toBe(1)
  expect(data.error.code).toBe('TM_CONNECT')
  expect(JSON.stringify(data) + err).not.toContain('secret')
})
