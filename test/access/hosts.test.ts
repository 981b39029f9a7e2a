import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createServer, listen } from '../../src/api/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { defineConfig, type ServerSectionOptions } from '../../src/schema/index.ts'

/** Nothing here asks the database: whoever names another host is refused before that. */
const nowhere = 'postgres://nobody@127.0.0.1:1/none'
const closers: (() => Promise<unknown>)[] = []
let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tidemark-hosts-'))
})
afterAll(async () => {
  for (const close of closers) await close()
  await rm(root, { recursive: true, force: true })
})

async function serve(server: ServerSectionOptions): Promise<{ app: FastifyInstance; port: number }> {
  const tm = await createTidemark(defineConfig({ datasets: [], server }), {
    connectionString: nowhere,
    root,
  })
  const app = await createServer(tm)
  closers.push(
    () => app.close(),
    () => tm.close(),
  )
  await listen(app, { host: '127.0.0.1', port: 0 })
  return { app, port: (app.server.address() as AddressInfo).port }
}

async function ask(port: number, host: string, path = '/api/v1/datasets') {
  const asked = request({ port, host: '127.0.0.1', path, headers: { host } }).end()
  const [answer] = await once(asked, 'response')
  let text = ''
  for await (const chunk of answer) text += chunk
  return { status: answer.statusCode as number, code: JSON.parse(text).code, detail: JSON.parse(text).detail }
}

/** What a WebSocket is answered: open, or the status and code of the refusal. */
function open(port: number, host: string): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v1/live`, { headers: { host } })
  return new Promise((resolve) => {
    socket.on('open', () => {
      socket.close()
      resolve('open')
    })
    socket.on('unexpected-response', (_request, answer) => {
      answer.resume()
      resolve(String(answer.statusCode))
    })
    socket.on('error', () => {})
  })
}

it('a server that asks nobody who he is answers by names of this machine alone, also WebSockets', async () => {
  const { port } = await serve({})
  for (const host of [
    `localhost:${port}`,
    `127.0.0.1:${port}`,
    `[::1]:${port}`,
    'LOCALHOST.',
    'app.localhost:80',
  ])
    expect([host, (await ask(port, host)).status]).toEqual([host, 200])
  for (const host of [
    `evil.example:${port}`,
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    `0.0.0.0:${port}`,
  ])
    expect([host, await ask(port, host)]).toMatchObject([host, { status: 403, code: 'TM_FORBIDDEN' }])
  const { detail } = await ask(port, 'evil.example', '/no/such/route')
  expect(detail).toMatch(/names the host "evil.example".*server\.hosts/)
  expect(await open(port, `localhost:${port}`)).toBe('open')
  expect(await open(port, `evil.example:${port}`)).toBe('403')
})

it('names that are declared are its own, whoever is asked who he is', async () => {
  const { port } = await serve({ hosts: ['Tidemark.example', '10.1.2.3'] })
  for (const host of ['tidemark.example', 'tidemark.example:8443', '10.1.2.3', 'localhost'])
    expect([host, (await ask(port, host)).status]).toEqual([host, 200])
  expect(await ask(port, 'other.example')).toMatchObject({ status: 403 })
  const withKeys = await serve({ auth: { keys: true }, hosts: ['tidemark.example'] })
  expect(await ask(withKeys.port, 'tidemark.example')).toMatchObject({ status: 401 })
  expect(await ask(withKeys.port, 'other.example')).toMatchObject({ status: 403 })
})

it('with keys and no declared names, any name does', async () => {
  const { port } = await serve({ auth: { keys: true } })
  expect(await ask(port, 'whatever.example')).toMatchObject({ status: 401, code: 'TM_UNAUTHORIZED' })
})
