import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { isOverHttp } from '../../src/api/contract/index.ts'
import { createServer } from '../../src/api/index.ts'
import { defineConfig } from '../../src/schema/index.ts'
import { type ErrorCode, errorRegistry, TidemarkError } from '../../src/util/errors.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const codes = Object.keys(errorRegistry) as ErrorCode[]
/** Whatever a message asks for. */
const anything = (): never =>
  new Proxy(
    {},
    { get: (_, name) => (['known', 'allowed', 'changes', 'rows'].includes(String(name)) ? ['x'] : 'x') },
  ) as never

let engine: TestEngine
let app: FastifyInstance
beforeAll(async () => {
  engine = await createTestEngine(defineConfig({ datasets: [] }))
  app = await createServer(engine.tm)
  for (const code of codes)
    app.get(`/raise/${code}`, { schema: { hide: true }, config: { access: 'public' } }, async () => {
      throw new TidemarkError(code, anything())
    })
})
afterAll(async () => {
  await app?.close()
  await engine?.close()
})

it('every error of the registry is a problem with its type, status and code, or never leaves the server', async () => {
  for (const code of codes) {
    const response = await app.inject(`/raise/${code}`)
    const said = isOverHttp(code) ? code : 'TM_INTERNAL'
    const { status, retryable, when } = errorRegistry[said]
    expect([code, response.statusCode, response.headers['content-type']]).toEqual([
      code,
      status,
      'application/problem+json; charset=utf-8',
    ])
    const body = response.json()
    expect(body).toMatchObject({
      type: `urn:tidemark:error:${said}`,
      title: when,
      status,
      code: said,
      retryable,
    })
    expect(body.instance).toBe(response.headers['x-request-id'] ?? body.instance)
  }
})

it('the list of problems is the registry without those, and says what to do', async () => {
  const kinds = (await app.inject('/api/v1/problems')).json() as Record<string, unknown>[]
  expect(kinds.map(({ code }) => code)).toEqual(codes.filter(isOverHttp).toSorted())
  for (const kind of kinds) {
    const { status, retryable, when, todo } = errorRegistry[kind['code'] as ErrorCode]
    expect(kind).toEqual({
      type: `urn:tidemark:error:${kind['code']}`,
      code: kind['code'],
      status,
      retryable,
      title: when,
      todo,
    })
  }
})

it.each([
  ['GET', '/nope', 'TM_ROUTE'],
  ['GET', '/api/v1/datasets/%ff', 'TM_ROUTE'],
  ['PATCH', '/api/v1/query', 'TM_ROUTE'],
  ['POST', '/api/v1/query', 'TM_BODY'],
] as const)('%s %s is a problem, too', async (method, url, code) => {
  const payload = method === 'POST' ? '{' : undefined
  const headers = { 'content-type': 'application/json' }
  const response = await app.inject({ method, url, ...(payload === undefined ? {} : { payload, headers }) })
  expect(response.headers['content-type']).toBe('application/problem+json; charset=utf-8')
  expect(response.json()).toMatchObject({ code, status: response.statusCode })
})
