import { afterAll, beforeAll, expect, test } from 'vitest'
import { createHotWriter, type HotWriter, type OpenBatch } from '../../src/hot/index.ts'
import { importFile } from '../../src/ingest/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, testChunks } from '../hot/create-test-hypertable.ts'
import { writeFile } from './files.ts'

const cpu = hypertable('held.cpu', {
  columns: { time: t.timestamptz(), n: t.int4() },
  time: 'time',
  chunk: '1 day',
})

let database: TestDatabase
let writer: HotWriter

beforeAll(async () => {
  database = await createTestDatabase()
  writer = createHotWriter({ db: database.db, chunks: testChunks(database.db) })
  await createTestHypertable(database.db, cpu)
})
afterAll(() => database.drop())

/** As a batch meets it whose chunk can be made only when the snapshots of the other batches have ended. */
function inEachOthersWay(): { readonly writer: HotWriter; readonly refused: () => number } {
  let underWay = 0
  let refused = 0
  const commit = async (batch: OpenBatch, options: Parameters<OpenBatch['commit']>[0]) => {
    underWay += 1
    try {
      await new Promise((resolve) => setImmediate(resolve))
      if (underWay > 1) {
        refused += 1
        throw new TidemarkError('TM_BUSY', { what: 'making chunks', tries: 1, lastProblem: 'older snapshot' })
      }
      return await batch.commit(options)
    } finally {
      underWay -= 1
    }
  }
  const batches: HotWriter['batches'] = async (...given) => {
    const open = await writer.batches(...given)
    return () => {
      const batch = open()
      return new Proxy(batch, {
        get(target, name) {
          if (name === 'commit')
            return (options: Parameters<OpenBatch['commit']>[0]) => commit(batch, options)
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    }
  }
  return {
    writer: { ...writer, insertBatch: writer.insertBatch.bind(writer), batches },
    refused: () => refused,
  }
}

test('batches of one import that are in the way of each other are written one after the other', async () => {
  const rows = Array.from({ length: 4_000 }, (_, i) => `2026-01-0${1 + (i % 8)}T00:00:00Z,${i}`)
  const crowded = inEachOthersWay()
  const report = await importFile({
    db: database.db,
    writer: crowded.writer,
    definition: cpu,
    file: writeFile('held.csv', `time,n\n${rows.join('\n')}\n`),
    options: { batchRows: 100, connections: 3 },
  })
  expect(crowded.refused()).toBeGreaterThan(0)
  expect(report).toMatchObject({ rows: 4_000, dead: 0, inserted: 4_000 })
  const { rows: found } = await database.db.query(raw('select count(*), count(distinct n) from held.cpu'))
  expect(found).toEqual([[4_000n, 4_000n]])
})
