import { connect, createServer, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createLateMerger } from '../../src/continuous/index.ts'
import { createHotWriter } from '../../src/hot/index.ts'
import { continuousAggregate, count, defineConfig, hypertable, t } from '../../src/index.ts'
import { createPipeline, type Pipeline } from '../../src/pipeline/index.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { testChunks } from '../hot/create-test-hypertable.ts'
import { batchOf } from './fixture.ts'

const visits = hypertable('public.visits', {
  columns: { time: t.timestamptz(), id: t.text().nullable() },
  time: 'time',
  chunk: '1 day',
  retain: '10 days',
  late: 'merge',
  dedupe: { by: 'id', within: '1 day' },
})
const hourly = continuousAggregate('public.hourly', {
  from: visits,
  bucket: '1 hour',
  select: { n: count() },
})
const clock = fixedClock(0n)
const late = '2026-01-01T04:30:00Z'
const fresh = '2026-01-14T04:30:00Z'

let engine: TestEngine
let proxy: Awaited<ReturnType<typeof createProxy>>
let db: Database
let pipeline: Pipeline

beforeEach(async () => {
  clock.set(parseInstant('2026-01-02T12:00:00Z'))
  engine = await createTestEngine(defineConfig({ datasets: [visits, hourly] }), { clock })
  await engine.tm.insertUnknown(
    'visits',
    [late, '2026-01-05T00:00:00Z'].map((time) => ({ time, id: null })),
  )
  clock.set(parseInstant('2026-01-14T12:00:00Z'))
  await engine.tm.refresh('hourly')
  await engine.tm.expire('visits')
  proxy = await createProxy(engine.test.connectionString)
  db = createDatabase({ connectionString: proxy.connectionString, max: 4 })
  const writer = createHotWriter({ db, chunks: testChunks(db), clock, late: createLateMerger({ clock }) })
  pipeline = createPipeline({ db, writer, connections: 1 })
})
afterEach(async () => {
  await pipeline.close()
  await db.close()
  await proxy.close()
  await engine.close()
})

/** Between pipeline and server. After `cut` each connection that says COMMIT ends, before the server hears it or after it has answered. */
async function createProxy(connectionString: string) {
  const target = new URL(connectionString)
  const sockets = new Set<Socket>()
  let cut: { isHeard: boolean; left: number } | null = null
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    let isLost = false
    client.on('data', (bytes) => {
      if (cut && cut.left > 0 && bytes.includes('commit\0')) {
        cut.left -= 1
        isLost = true
        if (!cut.isHeard) return upstream.destroy()
      }
      upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      if (isLost) client.destroy()
      else client.write(bytes)
    })
    upstream.on('close', () => client.destroy())
    client.on('close', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const through = new URL(connectionString)
  through.hostname = '127.0.0.1'
  through.port = String((server.address() as { port: number }).port)
  return {
    connectionString: through.href,
    cut: (isHeard: boolean, times: number) => {
      cut = { isHeard, left: times }
    },
    get left() {
      return cut?.left ?? 0
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const counted = async (): Promise<number> => {
  await engine.tm.refresh('hourly')
  const { rows } = await engine.tm.queryUnknown('hourly', {})
  return rows.reduce((all, one) => all + Number(one['n']), 0)
}

it.each([
  { isHeard: true, times: 1 },
  { isHeard: false, times: 1 },
  { isHeard: false, times: 3 },
])(
  'late rows and events of a group whose commit was lost are counted once: %o',
  async ({ isHeard, times }) => {
    // one goes at once, so that the others wait for each other
    const first = pipeline.ingest(batchOf(visits, [{ time: fresh, id: null }]))
    await first
    const group = [
      batchOf(visits, [{ time: fresh, id: 'a' }], { idempotencyKey: 'a' }),
      batchOf(
        visits,
        [
          { time: fresh, id: 'b' },
          { time: fresh, id: 'a' },
        ],
        { idempotencyKey: 'b' },
      ),
      batchOf(
        visits,
        [
          { time: late, id: 'c' },
          { time: fresh, id: null },
        ],
        { idempotencyKey: 'c' },
      ),
      batchOf(
        visits,
        [
          { time: late, id: null },
          { time: late, id: null },
        ],
        { idempotencyKey: 'd' },
      ),
      batchOf(visits, [{ time: fresh, id: 'e' }], { idempotencyKey: 'e' }),
    ]
    proxy.cut(isHeard, times)
    const reports = await Promise.all(group.map((batch) => pipeline.ingest(batch)))
    expect(proxy.left).toBe(0)
    expect(reports.map(({ accepted }) => accepted)).toEqual([1, 2, 2, 2, 1])
    expect(reports.map(({ merged }) => merged)).toEqual([0, 0, 1, 2, 0])
    expect(reports.reduce((all, { duplicates }) => all + duplicates, 0)).toBe(1)
    const again = await Promise.all(group.map((batch) => pipeline.ingest(batch)))
    expect(again).toEqual(reports.map((report) => ({ ...report, isReplayed: true })))
    expect(await counted()).toBe(3 + 7)
    const { rows } = await engine.test.db.query(raw('select count(*)::int4 from visits'))
    expect(rows).toEqual([[2 + 4]])
  },
)
