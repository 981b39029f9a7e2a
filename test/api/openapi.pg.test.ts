import { Validator } from '@seriousme/openapi-schema-validator'
import type { FastifyInstance } from 'fastify'
import Schema from 'typebox/schema'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { count } from '../../src/query/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const every = {
  text: t.text().nullable(),
  uuid: t.uuid().defaultSql('gen_random_uuid()'),
  flag: t.bool().default(true),
  small: t.int2().nullable(),
  whole: t.int4().nullable(),
  large: t.int8().nullable(),
  single: t.float4().nullable(),
  double: t.float8().nullable(),
  amount: t.numeric(12, 2).nullable(),
  day: t.date().nullable(),
  at: t.timestamptz().nullable().comment('when it was seen'),
  doc: t.jsonb().nullable(),
  tags: t.textArray().nullable(),
}
const things = table('app.things', { columns: { id: t.int4(), ...every }, primaryKey: ['id'] })
const events = hypertable('app.events', {
  columns: { time: t.timestamptz(), 'user name': t.text(), event: t.text(), ...every },
  time: 'time',
  primaryKey: ['time', 'user name'],
  events: { user: 'user name', event: 'event' },
})
const log = table('app.log', {
  columns: { id: t.int8(), line: t.text() },
  primaryKey: ['id'],
  appendOnly: true,
})
const keyless = table('app.keyless', { columns: { name: t.text() } })
const daily = continuousAggregate('app.daily', { from: events, bucket: '1 day', select: { n: count() } })
const config = defineConfig({ datasets: [things, events, log, keyless, daily] })

interface Operation {
  readonly operationId?: string
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> }
  readonly responses: Readonly<Record<string, Response>>
  readonly security?: readonly object[]
}
interface Response {
  readonly $ref?: string
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: Readonly<Record<string, Readonly<Record<string, object>>>>
}

let engine: TestEngine<typeof config>
let app: FastifyInstance
let document: Document
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  document = (await app.inject('/openapi.json')).json()
})
afterAll(async () => {
  await app?.close()
  await engine?.close()
})

const methods = ['get', 'put', 'post', 'patch', 'delete'] as const
function operations(): { path: string; method: (typeof methods)[number]; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    methods.flatMap((method) => (item[method] ? [{ path, method, operation: item[method] }] : [])),
  )
}

const full = {
  text: 'ä, "b"',
  small: -1,
  large: '9007199254740993',
  single: 'NaN',
  double: 0.5,
  amount: '12.5',
  day: '2026-01-31',
  at: '2026-01-31T10:00:00.000001Z',
  doc: { a: [1] },
  tags: ['x', null],
}
const event = { time: '2026-03-01T10:00:00Z', 'user name': 'u', event: 'visit', ...full }
const atEvent = ['2026-03-01T10:00:00Z', 'u']
const asked = { from: '2026-03-01', to: '2026-03-02' }

/** In this order, so that what one makes the next finds. `null`: not driven by a valid request here, and why. */
const valid: Readonly<
  Record<
    string,
    { params?: Record<string, string | string[]>; query?: string; body?: unknown; status: number }
  >
> = {
  'get /api/v1/health': { status: 200 },
  'get /api/v1/status': { status: 200 },
  'get /api/v1/problems': { status: 200 },
  'put /api/v1/reports/{name}': {
    params: { name: 'weekly' },
    body: {
      dataset: 'app.events',
      query: { from: '-7 days', bucket: '1 day', select: { n: { fn: 'count' } } },
      schedule: { every: '1 day', zone: 'Europe/Berlin', delay: '2 hours' },
    },
    status: 200,
  },
  'get /api/v1/reports': { status: 200 },
  'get /api/v1/reports/{name}': { params: { name: 'weekly' }, status: 200 },
  'post /api/v1/reports/{name}/run': { params: { name: 'weekly' }, status: 201 },
  'get /api/v1/reports/{name}/runs': { params: { name: 'weekly' }, status: 200 },
  'get /api/v1/reports/{name}/answer': { params: { name: 'weekly' }, status: 200 },
  'delete /api/v1/reports/{name}': { params: { name: 'weekly' }, status: 204 },
  'post /api/v1/boards': {
    body: {
      name: 'Visits',
      document: {
        range: { from: '-7 days' },
        refresh: 'live',
        panels: [
          {
            id: 'visits',
            title: 'Visits',
            chart: 'line',
            place: { x: 0, y: 0, w: 12, h: 4 },
            query: { dataset: 'app.events', bucket: 'auto', select: { n: { fn: 'count' } } },
            compare: 'previous',
          },
        ],
      },
    },
    status: 201,
  },
  'get /api/v1/boards': { status: 200 },
  'post /api/v1/query/sql': { body: { dataset: 'app.events', ...asked }, status: 200 },
  'get /api/v1/storage': { status: 200 },
  'get /api/v1/storage/growth': { query: 'dataset=app.events&from=-7%20days', status: 200 },
  'post /api/v1/operations': { body: { kind: 'verify', dataset: 'app.events' }, status: 202 },
  'get /api/v1/operations': { status: 200 },
  'get /api/v1/aggregates': { status: 200 },
  'get /api/v1/jobs': { status: 200 },
  'get /api/v1/overview': { status: 200 },
  'get /api/v1/dead-letters': { query: 'limit=5&reason=type', status: 200 },
  'post /api/v1/dead-letters/replay': { body: { filter: { dataset: 'app.events' } }, status: 200 },
  'post /api/v1/dead-letters/delete': { body: { filter: { all: true } }, status: 200 },
  'get /api/v1/datasets': { status: 200 },
  'get /api/v1/datasets/{dataset}': { params: { dataset: 'app.things' }, status: 200 },
  'post /api/v1/datasets/{dataset}/rows': { params: { dataset: 'app.events' }, body: [event], status: 201 },
  'post /api/v1/query': {
    body: { dataset: 'app.events', bucket: '1 hour', select: { n: { fn: 'count' } }, ...asked },
    status: 200,
  },
  'post /api/v1/datasets/app.things/records': { body: { id: 1, ...full }, status: 201 },
  'get /api/v1/datasets/app.things/records': {
    query: 'text=%C3%A4%2C%20%22b%22&id[in]=1,2&sort=-at,id&count=true&versions=true&limit=1',
    status: 200,
  },
  'put /api/v1/datasets/app.things/records/{key}': { params: { key: '1' }, body: full, status: 200 },
  'patch /api/v1/datasets/app.things/records/{key}': {
    params: { key: '1' },
    body: { text: null },
    status: 200,
  },
  'get /api/v1/datasets/app.things/records/{key}': { params: { key: '1' }, status: 200 },
  'post /api/v1/datasets/app.things/bulk': {
    body: { op: 'upsert', rows: [{ id: 1 }, { id: 2, ...full }], return: 'rows' },
    status: 200,
  },
  'delete /api/v1/datasets/app.things/records/{key}': { params: { key: '1' }, status: 204 },
  'get /api/v1/datasets/app.events/records': {
    query: 'from=2026-03-01&fields=event&user%20name=u',
    status: 200,
  },
  'get /api/v1/datasets/app.events/records/{key}': { params: { key: atEvent }, status: 200 },
  'put /api/v1/datasets/app.events/records/{key}': {
    params: { key: atEvent },
    body: { event: 'e' },
    status: 200,
  },
  'patch /api/v1/datasets/app.events/records/{key}': { params: { key: atEvent }, body: full, status: 200 },
  'delete /api/v1/datasets/app.events/records/{key}': { params: { key: atEvent }, status: 204 },
  'post /api/v1/datasets/app.events/records': { body: event, status: 201 },
  'post /api/v1/datasets/app.events/bulk': {
    body: {
      op: 'patch',
      rows: [
        { key: atEvent.join(','), set: { small: 3 } },
        { key: '2026-03-01T10:00:00Z,nobody', set: {} },
      ],
    },
    status: 207,
  },
  'post /api/v1/datasets/app.log/records': { body: { id: 1, line: 'a' }, status: 201 },
  'get /api/v1/datasets/app.log/records': { status: 200 },
  'get /api/v1/datasets/app.log/records/{key}': { params: { key: '1' }, status: 200 },
  'post /api/v1/datasets/app.log/bulk': { body: { op: 'create', rows: [{ id: 2, line: 'b' }] }, status: 200 },
}

/** The documented response to this status, references followed. */
function responseOf(operation: Operation, status: number): Response | undefined {
  const exact = operation.responses[String(status)] ?? operation.responses[`${String(status)[0]}XX`]
  if (!exact?.$ref) return exact
  return document.components['responses']![exact.$ref.split('/').at(-1)!] as Response
}

function assertDocumented(
  operation: Operation,
  { statusCode, headers, body }: { statusCode: number; headers: Record<string, unknown>; body: string },
): void {
  const response = responseOf(operation, statusCode)
  expect(response, `status ${statusCode}: ${body}`).toBeDefined()
  const type = String(headers['content-type'] ?? '').split(';')[0]!
  const schema = response!.content?.[type]?.schema
  if (response!.content === undefined) return
  expect(Object.keys(response!.content), body).toContain(type)
  if (schema === undefined || !type.includes('json')) return
  const [isRight, errors] = Schema.Errors({ ...schema, components: document.components }, JSON.parse(body))
  expect(isRight ? [] : errors, body).toEqual([])
}

async function call(
  method: string,
  path: string,
  request: { params?: Record<string, string | string[]>; query?: string; body?: unknown },
) {
  const url = path.replace(/\{(\w+)\}/g, (_, name: string) =>
    // style: simple
    [request.params?.[name] ?? 'nope'].flat().map(encodeURIComponent).join(','),
  )
  return app.inject({
    method: method.toUpperCase() as 'GET',
    url: request.query ? `${url}?${request.query}` : url,
    ...(request.body === undefined
      ? {}
      : { payload: JSON.stringify(request.body), headers: { 'content-type': 'application/json' } }),
  })
}

describe('the OpenAPI document', () => {
  it('is one by the schemas of the OpenAPI Initiative', async () => {
    const result = await new Validator().validate(structuredClone(document) as never)
    expect(result.errors ?? []).toEqual([])
    expect(result.valid).toBe(true)
  })

  it('has every reference that it makes', () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1]!)
    const missing = refs.filter((ref) => {
      const at = ref
        .split('/')
        .reduce<unknown>((value, key) => (value as Record<string, unknown>)?.[key], document)
      return at === undefined
    })
    expect(refs.length).toBeGreaterThan(50)
    expect([...new Set(missing)]).toEqual([])
  })

  it('lists the rows of each table with a key, and no changes of one that only grows', () => {
    const of = (path: string): string[] => methods.filter((method) => document.paths[path]?.[method])
    expect(of('/api/v1/datasets/app.things/records')).toEqual(['get', 'post'])
    expect(of('/api/v1/datasets/app.things/records/{key}')).toEqual(['get', 'put', 'patch', 'delete'])
    expect(of('/api/v1/datasets/app.log/records/{key}')).toEqual(['get'])
    expect(Object.keys(document.paths).filter((path) => path.includes('keyless'))).toEqual([])
  })

  it('has an id of its own for each operation of a table, and says how callers show who they are', () => {
    const ids = operations().flatMap(({ operation }) => operation.operationId ?? [])
    expect(new Set(ids).size).toBe(ids.length)
    expect(document.components['securitySchemes']).toMatchObject({
      bearer: { type: 'http', scheme: 'bearer' },
    })
    expect(document.paths['/api/v1/problems']!['get']!.security).toEqual([])
  })
})

describe('every documented route', () => {
  it('answers a valid request as it is documented', async () => {
    const listed = operations()
    for (const [name, request] of Object.entries(valid)) {
      const [method, path] = name.split(' ') as [string, string]
      const found = listed.find((entry) => entry.path === path && entry.method === method)
      expect(found, name).toBeDefined()
      const response = await call(method, path, request)
      expect(response.statusCode, `${name}: ${response.body}`).toBe(request.status)
      assertDocumented(found!.operation, response)
    }
    // of the rows of tables none is left out
    const driven = Object.keys(valid)
    const left = listed.filter(({ operation }) => operation.operationId?.startsWith('app.'))
    expect(left.filter(({ method, path }) => !driven.includes(`${method} ${path}`))).toEqual([])
  })

  it('answers what is wrong with a problem as it is documented', async () => {
    for (const { path, method, operation } of operations()) {
      if (
        method === 'get' &&
        !path.includes('{') &&
        !operation.parameters?.some(({ in: place }) => place === 'query')
      )
        continue
      const wrong = method === 'get' ? { query: 'nope=1' } : { query: 'nope=1', body: { nope: { nope: 1 } } }
      const response = await call(method, path, wrong)
      assertDocumented(operation, response)
      if (operation.operationId?.startsWith('app.')) {
        expect(response.statusCode, `${method} ${path}: ${response.body}`).toBeGreaterThanOrEqual(400)
        expect(response.statusCode, response.body).toBeLessThan(500)
      }
    }
  })

  it('takes no value for a column that its schema refuses, and refuses none that it takes', async () => {
    const schema = { ...document.components['schemas']!['app.things.patch'], components: document.components }
    const values = [
      0,
      1.5,
      40_000,
      3_000_000_000,
      '9007199254740993',
      '1e5',
      'NaN',
      'x',
      '',
      true,
      null,
      {},
      [],
      ['a', null],
      [1],
      '2026-01-01',
      '2026-01-01T00:00:00Z',
      'infinity',
      '6f1c2a6e-2b0c-4d0e-9d6e-0c9c5c4c3b2a',
    ]
    await call('put', '/api/v1/datasets/app.things/records/{key}', { params: { key: '7' }, body: {} })
    const differs: string[] = []
    for (const column of Object.keys(every))
      for (const value of values) {
        const body = { [column]: value }
        const [fits] = Schema.Errors(schema, body)
        const { statusCode } = await call('patch', '/api/v1/datasets/app.things/records/{key}', {
          params: { key: '7' },
          body,
        })
        // formats are descriptions: a text that is no date has the type of one
        const isText = typeof value === 'string' && ['uuid', 'day', 'at', 'amount'].includes(column)
        if (
          statusCode >= 500 ||
          (statusCode === 200 && !fits) ||
          (statusCode !== 200 && fits && !isText && value !== '9007199254740993')
        )
          differs.push(`${column} ${JSON.stringify(value)}: ${statusCode}, schema ${String(fits)}`)
      }
    expect(differs).toEqual([])
  })
})
