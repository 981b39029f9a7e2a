/**
 * A process that queues numbered batches until it is killed: `ack n` when batch n is acknowledged. Even ones have a key and are sent
 * again by the next process when they were not acknowledged; odd ones have none and are not.
 */
import { createHotWriter } from '../../src/hot/index.ts'
import { createPipeline } from '../../src/pipeline/index.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { testChunks } from '../hot/create-test-hypertable.ts'
import { batchOf, devices, events } from './fixture.ts'

const [connectionString, dir, from, again, until] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]
const db = createDatabase({ connectionString, max: 4 })
const pipeline = createPipeline({
  db,
  writer: createHotWriter({ db, chunks: testChunks(db) }),
  closeTimeoutMs: 60_000,
  spool: {
    dir,
    maxBytes: 4 * 1024 * 1024,
    definitionOf: (name) => [events, devices].find((definition) => definition.name === name) ?? null,
    raise: () => Promise.resolve(),
  },
})

async function send(n: number): Promise<void> {
  const time = new Date(Date.UTC(2026, 0, 1, 0, 0, n))
  const rows = Array.from({ length: 1 + (n % 4) }, (_, i) => ({ time, tag: `batch ${n}`, value: i }))
  const idempotencyKey = n % 2 === 0 ? `batch ${n}` : null
  await pipeline.ingest(batchOf(events, rows, { idempotencyKey, acknowledge: 'queued' }))
  process.stdout.write(`ack ${n}\n`)
}

/** The newest value of a key wins, also over processes. */
async function overwrite(n: number): Promise<void> {
  const rows = [{ id: n % 3, value: n % 1000, note: String(n) }]
  await pipeline.ingest(batchOf(devices, rows, { onConflict: 'update', acknowledge: 'queued' }))
  process.stdout.write(`set ${n}\n`)
}

await pipeline.openSpool()
for (const n of JSON.parse(again) as number[]) await send(n)
const end = Number(until)
await Promise.all([
  ...[0, 1, 2, 3].map(async (part) => {
    for (let n = Number(from) + part; n < end; n += 4) await send(n)
  }),
  (async () => {
    for (let n = Number(from); n < end; n += 1) await overwrite(n)
  })(),
])
await pipeline.close()
await db.close()
process.stdout.write('closed\n')
