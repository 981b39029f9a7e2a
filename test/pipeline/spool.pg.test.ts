import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { IngestBatch, Pipeline } from '../../src/pipeline/index.ts'
import { isAlive, SpoolOwner } from '../../src/pipeline/spool-owner.ts'
import type { StoredDefinition } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { startProcess } from '../helpers/processes.ts'
import { batchOf, clicks, createTables, devices, events, killBackends, testPipeline } from './fixture.ts'

let test_: TestDatabase
let dir: string
const folders: string[] = []
const opened: Pipeline[] = []

beforeAll(async () => {
  test_ = await createTestDatabase()
  await createTables(test_.db)
})

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tidemark-spool-'))
  folders.push(dir)
  await test_.db.execute('truncate events, clicks, devices, tidemark.dead_letter, tidemark.ingest_batch')
})

afterAll(async () => {
  await Promise.all(opened.map((pipeline) => pipeline.close()))
  await test_.drop()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const all: readonly StoredDefinition[] = [events, clicks, devices]

function spooled(
  options: {
    readonly maxBytes?: number
    readonly declared?: readonly StoredDefinition[]
    readonly closeTimeoutMs?: number
    readonly alarms?: unknown[]
  } = {},
): Pipeline {
  const { maxBytes = 1 << 20, declared = all, closeTimeoutMs = 10_000, alarms = [] } = options
  const pipeline = testPipeline(test_.db, {
    closeTimeoutMs,
    spool: {
      dir,
      maxBytes,
      definitionOf: (name) => declared.find((definition) => definition.name === name) ?? null,
      raise: async (alarm) => void alarms.push(alarm),
    },
  })
  opened.push(pipeline)
  return pipeline
}

function queued(
  definition: IngestBatch['definition'],
  rows: readonly unknown[],
  options: Partial<IngestBatch> = {},
): IngestBatch {
  return batchOf(definition, rows, { acknowledge: 'queued', ...options })
}

async function ask(text: string): Promise<unknown[][]> {
  return (await test_.db.query(raw(text))).rows as unknown[][]
}

async function eventually(isTrue: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (const end = Date.now() + 20_000; !(await isTrue()); await sleep(20))
    if (Date.now() > end) throw new Error(`it never came that ${what}`)
}

const count = async (table: string): Promise<number> =>
  Number((await ask(`select count(*) from ${table}`))[0]![0])

const event = (tag: string, value: number | null = 1) => ({ time: '2026-01-01T00:00:00Z', tag, value })

describe('a queued batch', () => {
  test('is answered when it is on disk, and written in a moment; what is wrong is told at once', async () => {
    const pipeline = spooled()
    const report = await pipeline.ingest(queued(events, [event('a'), { tag: 'b' }, event('c', 5000)]))
    expect(report).toMatchObject({ accepted: 2, inserted: 0, isQueued: true, rejected: { count: 1 } })
    expect(report.rejected.rows[0]).toMatchObject({ index: 1, column: 'time', reason: 'null' })
    await eventually(async () => (await count('events')) === 1, 'the good row is written')
    // refused by a constraint that the declaration does not know
    expect(await ask('select file, line::int4, reason from tidemark.dead_letter order by line')).toEqual([
      ['test', 1, 'null'],
      ['spool', 2, 'constraint'],
    ])
    await pipeline.close()
    expect(readdirSync(dir)).toEqual([])
    expect(await count('tidemark.spool_position')).toBe(0)
  })

  test('keeps dates, bigints and what JSON has not', async () => {
    const pipeline = spooled()
    const time = 1_767_225_600_123_456n
    await pipeline.ingest(queued(events, [{ time, tag: 'micros', value: null }]))
    await pipeline.ingest(queued(events, [{ time: new Date('2026-01-02'), tag: 'date' }]))
    await pipeline.close()
    expect(await ask('select time, tag from events order by time')).toEqual([
      [time, 'micros'],
      [1_767_312_000_000_000n, 'date'],
    ])
  })

  test('is refused as a whole where the database refuses a part of it and it is atomic', async () => {
    const pipeline = spooled()
    await pipeline.ingest(queued(events, [event('a'), event('b', 5000)], { isAtomic: true }))
    await pipeline.ingest(queued(events, [event('after')]))
    await pipeline.close()
    expect(await ask('select tag from events')).toEqual([['after']])
    expect(await ask('select file, line::int4 from tidemark.dead_letter order by line')).toEqual([
      ['spool', 0],
      ['spool', 1],
    ])
  })

  test('with a key is written once, however often it is sent; other rows with that key become dead letters', async () => {
    const pipeline = spooled()
    for (let i = 0; i < 3; i += 1)
      await pipeline.ingest(queued(events, [event('one')], { idempotencyKey: 'k' }))
    await pipeline.ingest(queued(events, [event('other')], { idempotencyKey: 'k' }))
    await pipeline.ingest(queued(events, [event('last')]))
    await pipeline.close()
    expect(await ask('select tag from events order by tag')).toEqual([['last'], ['one']])
    expect(await ask("select file, reason, raw::json->>'tag' from tidemark.dead_letter")).toEqual([
      ['spool', 'refused', 'other'],
    ])
  })

  test('with event ids that come again is written once', async () => {
    const pipeline = spooled()
    const rows = [1, 2, 3].map((n) => ({ time: '2026-01-01T00:00:00Z', id: `id ${n}`, tag: 'x' }))
    for (let i = 0; i < 3; i += 1) await pipeline.ingest(queued(clicks, rows))
    await pipeline.close()
    expect(await count('clicks')).toBe(3)
  })

  test('of which many rows are refused holds up nothing', async () => {
    const pipeline = spooled()
    const many = Array.from({ length: 150 }, (_, i) => event(`bad ${i}`, 2000 + i))
    await Promise.all([
      pipeline.ingest(queued(events, [event('before')])),
      pipeline.ingest(queued(events, many)),
      pipeline.ingest(queued(events, [event('after')])),
    ])
    await pipeline.close()
    expect(await ask('select tag from events order by tag')).toEqual([['after'], ['before']])
    expect(await count(`tidemark.dead_letter where file = 'spool'`)).toBe(150)
  })

  test('overwrites in the order of coming', async () => {
    const pipeline = spooled()
    for (let i = 0; i < 100; i += 1)
      await pipeline.ingest(queued(devices, [{ id: i % 2, value: i }], { onConflict: 'update' }))
    await pipeline.close()
    expect(await ask('select id, value from devices order by id')).toEqual([
      [0, 98],
      [1, 99],
    ])
  })
})

describe('the spool', () => {
  test('that is full refuses with a time to come again, and takes more when it has been written', async () => {
    const holder = await test_.connect()
    await holder.query(raw('begin'))
    await holder.query(raw('lock table events in share mode'))
    const pipeline = spooled({ maxBytes: 20_000 })
    let taken = 0
    const fill = async (): Promise<unknown> => {
      for (;;) {
        try {
          await pipeline.ingest(queued(events, [event('x'.repeat(500))]))
          taken += 1
        } catch (error) {
          return error
        }
      }
    }
    const error = await fill()
    expect(error).toMatchObject({ code: 'TM_OVERLOADED', status: 503 })
    expect(
      (error as { params: { retryAfterSeconds: number } }).params.retryAfterSeconds,
    ).toBeGreaterThanOrEqual(1)
    expect(taken).toBeGreaterThan(10)
    expect(pipeline.state.spoolBytes).toBeLessThanOrEqual(20_000)
    // one that never fits
    await expect(pipeline.ingest(queued(events, [event('x'.repeat(30_000))]))).rejects.toMatchObject({
      code: 'TM_LIMIT',
    })
    await holder.query(raw('rollback'))
    await holder.close()
    await eventually(async () => (await count('events')) === taken, 'it is written')
    const before = taken
    await eventually(async () => {
      await pipeline.ingest(queued(events, [event('y')])).then(
        () => (taken += 1),
        () => {},
      )
      return taken > before
    }, 'there is room')
    await pipeline.close()
    expect(await count('events')).toBe(taken)
  })

  test('keeps what is not written when the process ends, for the next one', async () => {
    const first = spooled({ declared: [] })
    await first.ingest(queued(events, [event('a'), event('b')]))
    await eventually(() => first.state.spoolErrors.length > 0, 'it says why it stands still')
    expect(first.state.spoolErrors[0]).toMatch(/not declared/)
    await first.close()
    expect(await count('events')).toBe(0)
    const second = spooled()
    await second.openSpool()
    await second.close()
    expect(await ask('select tag from events order by tag')).toEqual([['a'], ['b']])
    expect(readdirSync(dir)).toEqual([])
  })

  test('of a declaration that has changed meanwhile keeps rows that fit no longer as dead letters', async () => {
    const first = spooled({ declared: [] })
    await first.ingest(queued(events, [event('a'), event('b', null)]))
    await first.ingest(queued(events, [event('c'), event('d', null)], { isAtomic: true }))
    await first.close()
    const { columns } = events
    const strict = { ...events, columns: { ...columns, value: { ...columns.value, nullable: false } } }
    const second = spooled({ declared: [strict as never] })
    await second.openSpool()
    await second.close()
    expect(await ask('select tag from events')).toEqual([['a']])
    expect(await ask("select raw::json->>'tag' from tidemark.dead_letter order by 1")).toEqual([
      ['b'],
      ['c'],
      ['d'],
    ])
  })

  test("of a process that lives is nobody else's, also when its path is long", async () => {
    const deep = join(dir, 'x'.repeat(120))
    const first = await SpoolOwner.claim(deep)
    expect(await isAlive(first.dir)).toBe(true)
    const second = await SpoolOwner.claim(deep)
    expect(await second.adopt()).toEqual([])
    expect(existsSync(first.dir)).toBe(true)
    await first.release()
    await second.release()
    expect(readdirSync(deep)).toEqual([])
  })
})

const seed = Math.floor(Math.random() * 2 ** 31)

test(`of processes that are killed again and again, with connections cut, each acknowledged batch is stored once (seed ${seed})`, async () => {
  // in each of the two lanes
  const kills = 11
  const waits = fc.sample(fc.noBias(fc.integer({ min: 0, max: 250 })), { seed, numRuns: kills + 1 })
  const acknowledged = new Set<number>()
  const sets = new Set<number>()
  let [from, setUpTo] = [0, 0]
  let again: number[] = []
  let cut = 0
  const size = 400
  for (let life = 0; life <= kills; life += 1) {
    const isLast = life === kills
    const until = from + size
    const args = [
      test_.connectionString,
      dir,
      String(from),
      JSON.stringify(again),
      String(isLast ? from + 20 : until),
    ]
    const child = await startProcess('test/pipeline/spool-child.ts', args)
    if (!isLast) {
      let hasEnded = false
      void child.ended.then(() => {
        hasEnded = true
      })
      await eventually(() => hasEnded || /^(ack|set) \d+$/m.test(child.out()), 'something is acknowledged')
      if (life % 3 === 0) cut += await killBackends(test_.db)
      await sleep(waits[life]!)
      child.process.kill('SIGKILL')
    }
    const { signal, code, out, err } = await child.ended
    if (isLast || signal !== 'SIGKILL') expect(code, err).toBe(0)
    // a line without its end may be a number without its end
    for (const [, word, n] of out.matchAll(/^(ack|set) (\d+)\n/gm))
      (word === 'ack' ? acknowledged : sets).add(Number(n))
    setUpTo = Math.max(setUpTo, ...sets)
    // what was sent and not answered: even ones are sent again
    const sentUpTo = Math.max(from - 1, ...acknowledged) + 4
    again = [
      ...again,
      ...Array.from({ length: Math.max(0, sentUpTo + 1 - from) }, (_, i) => from + i),
    ].filter((n) => n % 2 === 0 && !acknowledged.has(n))
    from = Math.max(sentUpTo, setUpTo + 1) + 1
  }
  const stored = new Map(
    (await ask('select tag, count(*)::int4, count(distinct value)::int4 from events group by tag')).map(
      ([tag, rows, values]) => [Number(/\d+/.exec(String(tag))![0]), [rows, values]],
    ),
  )
  for (const n of acknowledged) expect(stored.get(n), `batch ${n}`).toEqual([1 + (n % 4), 1 + (n % 4)])
  // not acknowledged: not at all, or once
  for (const [n, rows] of stored) expect(rows, `batch ${n}`).toEqual([1 + (n % 4), 1 + (n % 4)])
  expect(acknowledged.size).toBeGreaterThan(kills)
  for (const [id, note] of await ask('select id, note from devices')) {
    const newest = Math.max(...[...sets].filter((n) => n % 3 === id))
    // one that was not acknowledged may have come behind it
    expect(Number(note), `device ${id}`).toBeGreaterThanOrEqual(newest)
  }
  expect(await count('tidemark.dead_letter')).toBe(0)
  expect(readdirSync(dir)).toEqual([])
  console.log(
    `${kills} kills, ${acknowledged.size} batches acknowledged, ${cut} connections cut, seed ${seed}`,
  )
}, 400_000)
