import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type ChunkManager, createHotWriter, type HotWriter } from '../../src/hot/index.ts'
import { createFolderStore } from '../../src/lake/store/folder.ts'
import { createLifecycle, type Lifecycle } from '../../src/lifecycle/index.ts'
import { migrateCatalog } from '../../src/migrate/index.ts'
import { runDoctor } from '../../src/ops/index.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, testChunks } from '../hot/create-test-hypertable.ts'
import { count, day, samples, states } from './fixture.ts'
import { createPlainFiles } from './plain-files.ts'

/** Everything is a role's that owns its database and is nothing else; the others are the superuser's. */
let test: TestDatabase
let role: string
let db: Database
let dir: string
let chunks: ChunkManager
let writer: HotWriter
let lifecycle: Lifecycle
let reader: Awaited<ReturnType<TestDatabase['connect']>> | null = null
const clock = fixedClock(parseInstant('2026-01-15T12:00:00Z'))
beforeEach(async () => {
  test = await createTestDatabase({ empty: true })
  role = `owner_${test.name}`
  await test.db.execute(`create role ${role} login; alter database ${test.name} owner to ${role}`)
  const url = new URL(test.connectionString)
  url.username = role
  db = createDatabase({ connectionString: url.href })
  await migrateCatalog(db)
  await createTestHypertable(db, samples)
  dir = await mkdtemp(join(tmpdir(), 'tidemark-lake-'))
  const store = createFolderStore({ dir })
  chunks = testChunks(db, { settleMs: 50, tries: 1 })
  writer = createHotWriter({ db, chunks })
  const settings = { keepDroppedMs: 0, emptyShare: 0 }
  lifecycle = createLifecycle({ db, files: createPlainFiles(store), store, chunks, clock, settings })
})
afterEach(async () => {
  await reader?.close()
  reader = null
  await db.close()
  await test.db.execute(`
    alter database ${test.name} owner to postgres; drop owned by ${role} cascade; drop role ${role}`)
  await test.drop()
  await rm(dir, { recursive: true })
})

async function olderSnapshot() {
  reader = await test.connect()
  await reader.execute('begin isolation level repeatable read; select count(*) from samples')
  return reader
}

const held = expect.stringContaining('has an older snapshot')

it('space and files are kept while somebody else may need them, and go afterwards', async () => {
  await writer.insert(samples, day('2026-01-01'))
  const reader = await olderSnapshot()
  expect(await lifecycle.freeze(samples)).toMatchObject({ chunks: 1, rows: 3 })
  // VACUUM says so itself where a transaction of another database is older still
  const reason = expect.stringMatching(/has an older snapshot|in use/)
  expect(await lifecycle.reclaim(samples)).toMatchObject({ reclaimed: 0, dropped: 0, held: [{ reason }] })
  expect(await lifecycle.compact(samples)).toMatchObject({ chunks: 1 })
  expect(await lifecycle.sweep()).toMatchObject({ removed: 0, held })
  expect(await count(reader, 'samples')).toBe(3)
  await reader.execute('commit')
  await expect
    .poll(() => lifecycle.reclaim(samples).then(() => states(db)), { timeout: 20_000, interval: 200 })
    .toEqual(['cold 1 -'])
  await expect
    .poll(async () => (await lifecycle.sweep()).removed, { timeout: 20_000, interval: 200 })
    .toBeGreaterThan(0)
  expect(await lifecycle.thaw(samples)).toMatchObject({ rows: 3 })
})

it('the default partition is not drained while somebody else has an older snapshot', async () => {
  const reader = await olderSnapshot()
  await db.execute(`insert into samples values ('2026-01-03', 't1', 'outside', 1)`)
  expect(await chunks.drainDefault(samples)).toMatchObject({
    kind: 'blocked',
    reason: held,
  })
  expect(await count(reader, 'samples')).toBe(0)
  await reader.execute('commit')
  await expect
    .poll(() => chunks.drainDefault(samples), { timeout: 20_000, interval: 200 })
    .toMatchObject({ kind: 'drained', rows: 1n })
})

it('the doctor says what it may not see, and which grant would help', async () => {
  const reader = await olderSnapshot()
  const store = createFolderStore({ dir })
  const find = async () =>
    (await runDoctor(db, [samples], clock, { dir, store, lifecycle })).filter(
      ({ check }) => check === 'transactions',
    )
  expect(await find()).toEqual([
    expect.objectContaining({ level: 'note', todo: `grant pg_read_all_stats to "${role}"` }),
  ])
  await test.db.execute(`grant pg_read_all_stats to ${role}`)
  expect(await find()).toMatchObject([{ level: 'ok' }])
  await reader.execute('commit')
})
