import type { FastifyInstance } from 'fastify'
import { createServer } from '../../src/api/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

export const keywords = table('app.keywords', {
  columns: {
    id: t.uuid().defaultSql('gen_random_uuid()'),
    phrase: t.text(),
    volume: t.int8().nullable(),
    score: t.float8().nullable(),
    active: t.bool().default(true),
    seen: t.timestamptz().nullable(),
    info: t.jsonb<{ lang?: string }>().nullable(),
  },
  primaryKey: ['id'],
  indexes: [{ columns: ['phrase'], unique: true }],
})
export const pairs = table('app.pairs', {
  columns: { left: t.text(), right: t.int4(), note: t.text().nullable() },
  primaryKey: ['left', 'right'],
})
export const settings = table('app.settings', {
  columns: { name: t.text(), value: t.text().nullable() },
  primaryKey: ['name'],
})
export const log = table('app.log', { columns: { id: t.int4() }, primaryKey: ['id'], appendOnly: true })
export const keyless = table('app.keyless', { columns: { id: t.int4() } })
export const ranks = hypertable('app.ranks', {
  columns: { time: t.timestamptz(), keyword: t.text(), rank: t.int4().nullable() },
  time: 'time',
  primaryKey: ['keyword', 'time'],
  chunk: '1 day',
})
export const config = defineConfig({
  datasets: [keywords, pairs, settings, log, keyless, ranks],
  records: { requireVersion: ['app.settings'] },
})

export interface Got {
  readonly status: number
  readonly body: ReturnType<typeof JSON.parse>
  readonly etag: string
  readonly location: string
}

/** A server over tables that have rows by key, and a short way to call it. */
export interface RecordServer {
  readonly engine: TestEngine<typeof config>
  readonly app: FastifyInstance
  /** `path` is below /api/v1/datasets/; a text is sent as it is. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Got>
  close(): Promise<void>
}

export async function startRecordServer(): Promise<RecordServer> {
  const engine = await createTestEngine(config)
  const app = await createServer(engine.tm)
  return {
    engine,
    app,
    async call(method, path, body, headers = {}) {
      const response = await app.inject({
        method: method as 'GET',
        url: `/api/v1/datasets/${path}`,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      return {
        status: response.statusCode,
        body: response.body === '' ? null : response.json(),
        etag: String(response.headers['etag'] ?? ''),
        location: String(response.headers['location'] ?? ''),
      }
    },
    async close() {
      await app.close()
      await engine.close()
    },
  }
}
