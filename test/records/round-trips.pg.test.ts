import { afterAll, beforeAll, expect, it } from 'vitest'
import { type HotWriter, withReadSnapshot } from '../../src/hot/index.ts'
import type { Database } from '../../src/postgres/index.ts'
import { defaultQueryLimits } from '../../src/query/index.ts'
import { createRecordSet, type RecordSet } from '../../src/records/index.ts'
import { allTenants, defineConfig, t, table } from '../../src/schema/index.ts'
import { systemClock } from '../../src/time/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const keywords = table('app.keywords', {
  columns: { id: t.int4(), phrase: t.text().nullable() },
  primaryKey: ['id'],
})
const config = defineConfig({ datasets: [keywords] })

let engine: TestEngine<typeof config>
let records: RecordSet
let trips: string[] = []
let onQuery = () => {}
beforeAll(async () => {
  engine = await createTestEngine(config)
  const { db } = engine.test
  // each of these is one: a reading sends BEGIN with its first statement and does not wait for COMMIT
  const counting: Database = {
    ...db,
    query: (statement, options) => {
      trips.push('query')
      onQuery()
      return db.query(statement, options)
    },
    reading: (options, use) =>
      db.reading(options, (reading) =>
        use({
          ...reading,
          query: (statement, more) => {
            trips.push('read')
            return reading.query(statement, more)
          },
          beside: (statement, more) => reading.beside(statement, more),
          cursor: (statement, more) => reading.cursor(statement, more),
          open: () => reading.open(),
        }),
      ),
    transaction: (options, use) => {
      trips.push('begin', 'commit')
      return db.transaction(options, use)
    },
    withConnection: (use, options) => db.withConnection(use, options),
    execute: (script) => db.execute(script),
    serverVersion: () => db.serverVersion(),
    close: () => db.close(),
  }
  const never = (): never => {
    throw new Error('a plain table needs nothing else')
  }
  records = createRecordSet(keywords, allTenants, {
    db: counting,
    writer: {} as HotWriter,
    ask: never,
    read: (_, { signal }, use) =>
      withReadSnapshot(counting, { timeoutMs: 10_000, signal, taken: 'with the first statement' }, use),
    explain: (_, work) => work,
    clock: systemClock,
    limits: defaultQueryLimits,
    maxAnswerBytes: 1_000_000,
    requireVersion: false,
    onCommitted: () => {},
  })
})
afterAll(() => engine.close())

async function count(work: () => Promise<unknown>): Promise<readonly string[]> {
  trips = []
  await work().catch(() => {})
  return trips
}

it('a call about a row of a plain table is one round trip, and two where it has to say why not', async () => {
  expect(await count(() => records.create({ id: 1, phrase: 'a' }))).toEqual(['query'])
  const { version } = await records.get({ id: 1 })
  const current = { kind: 'versions', versions: [version] } as const
  const stale = { kind: 'versions', versions: ['A'.repeat(22)] } as const
  expect(await count(() => records.get({ id: 1 }))).toEqual(['read'])
  expect(await count(() => records.list({ limit: 10 }))).toEqual(['read'])
  expect(await count(() => records.patch({ id: 1 }, { phrase: 'b' }, stale))).toEqual(['query', 'read'])
  expect(await count(() => records.patch({ id: 9 }, { phrase: 'b' }))).toEqual(['query', 'read'])
  expect(await count(() => records.patch({ id: 1 }, { phrase: 'b' }, current))).toEqual(['query'])
  expect(await count(() => records.put({ id: 1 }, { phrase: 'c' }))).toEqual(['query'])
  expect(await count(() => records.put({ id: 2 }, {}, { kind: 'new' }))).toEqual(['query'])
  expect(await count(() => records.delete({ id: 2 }, { kind: 'exists' }))).toEqual(['query'])
  const rows = Array.from({ length: 1_000 }, (_, id) => ({ id }))
  expect(await count(() => records.bulk({ op: 'upsert', rows }))).toEqual(['query'])
  expect(await count(() => records.bulk({ op: 'delete', rows: rows.map((key) => ({ key })) }))).toEqual([
    'query',
  ])
})

it('of ten thousand rows at once others have their turn in between', async () => {
  const rows = Array.from({ length: 10_000 }, (_, i) => ({ id: 100_000 + i, phrase: `"${i}\\` }))
  for (const [op, items] of [
    ['create', rows],
    ['patch', rows.map(({ id }) => ({ key: { id }, set: { phrase: null } }))],
    ['delete', rows.map(({ id }) => ({ key: { id } }))],
  ] as const) {
    let turns = 0
    let turnsBefore = 0
    onQuery = () => {
      turnsBefore ||= turns
    }
    let next = setImmediate(function count() {
      turns += 1
      next = setImmediate(count)
    })
    const { created, updated, deleted } = await records.bulk({ op, rows: items })
    clearImmediate(next)
    expect(created + updated + deleted).toBe(10_000)
    expect(turnsBefore).toBeGreaterThanOrEqual(8)
  }
  onQuery = () => {}
})
