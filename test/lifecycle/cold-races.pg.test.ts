import { afterEach, beforeEach, expect, it } from 'vitest'
import { createHotWriter, withReadSnapshot } from '../../src/hot/index.ts'
import { createColdTier } from '../../src/lake/index.ts'
import { parseQuery, queryLimits, type RowsRequest, type WhereInput } from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { sql } from '../../src/util/sql.ts'
import { testChunks } from '../hot/create-test-hypertable.ts'
import { type ColdEngine, createColdEngine, type Process } from './cold-engine.ts'
import { count, day, readings, samples, states } from './fixture.ts'

let engine: ColdEngine
beforeEach(async () => {
  engine = await createColdEngine(readings, samples)
})
afterEach(() => engine.close())

const clock = fixedClock(parseInstant('2026-01-15T12:00:00Z'))

function where(definition: HypertableDefinition, condition: WhereInput<never>) {
  return parseQuery({ where: condition }, { dataset: definition, clock, limits: queryLimits({}) }).where
}

async function shown(definition: HypertableDefinition = readings): Promise<string[]> {
  return (await engine.rows(definition)).map(({ sensor, value }) => `${sensor} ${value}`).sort()
}

it('upserts of one cold key at once leave it once', async () => {
  await engine.writer.insert(readings, day('2026-01-01', 10))
  await engine.lifecycle.freeze(readings)
  const processes = Array.from({ length: 6 }, () => engine.another())
  const results = await Promise.all(
    processes.flatMap(({ writer }, n) =>
      [0, 5].map((from) =>
        writer.upsert(
          readings,
          day('2026-01-01', 10)
            .slice(from)
            .map((row) => ({ ...row, value: n + 100 })),
        ),
      ),
    ),
  )
  expect(results.every(({ inserted }) => inserted === 0)).toBe(true)
  const rows = await engine.rows(readings)
  expect(rows.map(({ sensor }) => sensor)).toEqual(day('2026-01-01', 10).map(({ sensor }) => sensor))
  expect(rows.every(({ value }) => (value as number) >= 100)).toBe(true)
  expect((await engine.lifecycle.verify([readings])).problems).toEqual([])
})

it('inserts of one cold key at once are all refused, and of one new key all but one', async () => {
  await engine.writer.insert(readings, day('2026-01-01', 2))
  await engine.lifecycle.freeze(readings)
  const insert = (sensor: string) =>
    Promise.all(
      Array.from({ length: 5 }, () =>
        engine
          .another()
          .writer.insert(readings, [{ ...day('2026-01-01')[0]!, sensor }])
          .then(
            () => 'in',
            (error) => error.code,
          ),
      ),
    )
  expect(new Set(await insert('s0'))).toEqual(new Set(['TM_DUPLICATE_KEY']))
  expect((await insert('new')).sort()).toEqual([...Array(4).fill('TM_DUPLICATE_KEY'), 'in'])
})

it('a process that does not know yet that a chunk was frozen is told by the guards', async () => {
  await engine.writer.insert(readings, [...day('2026-01-01'), ...day('2026-01-02')])
  const unknowing = Array.from({ length: 5 }, () => engine.another().writer)
  for (const writer of unknowing)
    await writer.insert(readings, day('2026-01-01', 1), { onConflict: 'ignore' })
  await engine.lifecycle.freeze(readings)
  const [a, b, c, d, e] = unknowing as [Process['writer'], ...Process['writer'][]]
  expect(await a.upsert(readings, [{ ...day('2026-01-01')[0]!, value: 9 }])).toEqual({
    inserted: 0,
    updated: 1,
  })
  await expect(b!.insert(readings, day('2026-01-01', 2).slice(1))).rejects.toMatchObject({
    code: 'TM_DUPLICATE_KEY',
  })
  expect(await c!.insert(readings, day('2026-01-01', 3), { onConflict: 'ignore' })).toEqual({
    inserted: 0,
    ignored: 3,
  })
  expect(
    await d!.update(readings, {
      set: { value: 8 },
      where: where(readings, { sensor: 's1' } as never),
      range: null,
    }),
  ).toEqual({ updated: 2 })
  expect(
    await e!.delete(readings, { where: where(readings, { sensor: 's2' } as never), range: null }),
  ).toEqual({ deleted: 2 })
  expect(await shown()).toEqual(['s0 0', 's0 9', 's1 8', 's1 8'])
})

it('a process that does not know yet that a chunk was thawed learns it from its first write', async () => {
  await engine.writer.insert(readings, day('2026-01-01'))
  await engine.lifecycle.freeze(readings)
  let opened = 0
  const { writer } = engine.another({}, (rows) => ({
    ...rows,
    open(...args) {
      opened += 1
      return rows.open(...args)
    },
  }))
  await writer.insert(readings, day('2026-01-01'), { onConflict: 'ignore' })
  await engine.lifecycle.thaw(readings)
  for (let i = 0; i < 3; i += 1) await writer.upsert(readings, day('2026-01-01'))
  await writer.delete(readings, { where: where(readings, { sensor: 's1' } as never), range: null })
  // by the look at the epoch that every write of old rows takes
  expect(opened).toBe(1)
  expect(await shown()).toEqual(['s0 0', 's2 2'])
})

it('rows of the running chunk cost no statement more', async () => {
  const { test, writer } = engine
  await writer.insert(readings, day('2026-01-01'))
  const asked: string[] = []
  const db = {
    ...test.db,
    query: (...args: Parameters<typeof test.db.query>) => {
      asked.push('query')
      return test.db.query(...args)
    },
    transaction: () => Promise.reject(new Error('a transaction was begun')),
  } as unknown as typeof test.db
  const chunks = testChunks(test.db)
  await chunks.map(readings)
  const running = fixedClock(parseInstant('2026-01-01T12:00:00Z'))
  const hot = createHotWriter({ db, chunks, cold: engine.lifecycle.coldRows, clock: running })
  await hot.upsert(readings, day('2026-01-01'))
  await hot.insert(readings, day('2026-01-01'), { onConflict: 'ignore' })
  await hot.update(readings, { set: { value: 1 }, where: null, range: null })
  await hot.delete(readings, { where: null, range: null })
  expect(asked.length).toBe(4)
})

it('a reader with an older snapshot sees the rows as they were, a newer one as they are', async () => {
  const { test, writer, lifecycle, duckdb, store } = engine
  await writer.insert(samples, day('2026-01-01'))
  await lifecycle.freeze(samples)
  const cold = createColdTier({ duckdb, store })
  await withReadSnapshot(test.db, { timeoutMs: 30_000, signal: null, dataset: samples }, async (snapshot) => {
    const context = { snapshot, signal: null }
    const request: RowsRequest = {
      kind: 'rows',
      dataset: samples,
      columns: ['sensor'],
      range: null,
      where: null,
      direction: 'asc',
      limit: 10,
      after: null,
      withKeys: false,
    }
    const read = async () => [
      ...(await cold.rows(request, context)).rows.flat(),
      ...(await snapshot.query(sql`select sensor from samples`, null)).rows.flat(),
    ]
    expect(await read()).toEqual(['s0', 's1', 's2'])
    expect(
      await writer.delete(samples, { where: where(samples, { sensor: 's1' } as never), range: null }),
    ).toEqual({ deleted: 1 })
    expect(
      await writer.update(samples, {
        set: { value: 5 },
        where: where(samples, { sensor: 's0' } as never),
        range: null,
      }),
    ).toEqual({ updated: 1 })
    expect(await read()).toEqual(['s0', 's1', 's2'])
  })
  expect(await shown(samples)).toEqual(['s0 5', 's2 2'])
})

it('a write that fails after rows were taken back leaves them where they were', async () => {
  const { test, lifecycle } = engine
  await engine.writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  const failing = engine.another({}, (rows) => ({
    ...rows,
    open: async (...args) => {
      const open = await rows.open(...args)
      return {
        chunks: open.chunks,
        find: (...found) => open.find(...found),
        lift: (found) => open.lift(found),
        liftMatching: (...given) => open.liftMatching(...given),
        async end() {
          await open.end()
          throw new Error('the process has had enough')
        },
      }
    },
  }))
  await expect(failing.writer.upsert(readings, day('2026-01-01'))).rejects.toThrow('had enough')
  await expect(failing.writer.delete(readings, { where: null, range: null })).rejects.toThrow('had enough')
  expect(await count(test.db, 'tidemark.lake_deletion')).toBe(0)
  expect(await count(test.db, 'public.readings')).toBe(0)
  expect(await shown()).toEqual(['s0 0', 's1 1', 's2 2'])
})

it('a write whose connection is cut after rows were taken back is done again, once', async () => {
  const { test, lifecycle } = engine
  await engine.writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  let cuts = 0
  const cut = engine.another({}, (rows) => ({
    ...rows,
    open: async (connection, ...args) => {
      const open = await rows.open(connection, ...args)
      return {
        chunks: open.chunks,
        find: (...found) => open.find(...found),
        async lift(found) {
          await open.lift(found)
          if (cuts++ > 0) return
          await test.db.query(sql`select pg_terminate_backend(${connection.processId}::int)`)
        },
        liftMatching: (...given) => open.liftMatching(...given),
        end: () => open.end(),
      }
    },
  }))
  expect(await cut.writer.upsert(readings, [{ ...day('2026-01-01')[0]!, value: 4 }])).toEqual({
    inserted: 0,
    updated: 1,
  })
  expect(cuts).toBe(2)
  expect(await shown()).toEqual(['s0 4', 's1 1', 's2 2'])
})

it('a write waits for who moves the chunk, some time, and can be cancelled', async () => {
  const { test, lifecycle } = engine
  await engine.writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  const { writer } = engine.another({ settings: { coldLockTimeoutMs: 10 } })
  const holder = await test.connect()
  await holder.execute('begin; select from tidemark.chunk for update')
  await expect(writer.upsert(readings, day('2026-01-01'))).rejects.toMatchObject({ code: 'TM_BUSY' })
  const controller = new AbortController()
  const waiting = engine.writer.delete(readings, { where: null, range: null }, { signal: controller.signal })
  await expect
    .poll(async () => (await test.db.query(sql`select count(*) from pg_locks where not granted`)).rows[0]![0])
    .toBeGreaterThan(0n)
  controller.abort()
  await expect(waiting).rejects.toMatchObject({ code: 'TM_CANCELLED' })
  const last = engine.writer.upsert(readings, [{ ...day('2026-01-01')[0]!, value: 3 }])
  await holder.execute('rollback')
  await holder.close()
  expect(await last).toEqual({ inserted: 0, updated: 1 })
  expect(await shown()).toEqual(['s0 3', 's1 1', 's2 2'])
})

it('triggers of the user do not take a row that is taken back for a new one', async () => {
  const { test, writer, lifecycle } = engine
  await writer.insert(samples, day('2026-01-01'))
  await lifecycle.freeze(samples)
  await test.db.execute(`
    create table seen (what text);
    create function note() returns trigger language plpgsql as
      $$ begin insert into seen values (tg_op); return null; end $$;
    create trigger note after insert or update or delete on samples for each row execute function note()`)
  await writer.update(samples, {
    set: { value: 5 },
    where: where(samples, { sensor: 's0' } as never),
    range: null,
  })
  const { rows } = await test.db.query(sql`select what from seen`)
  expect(rows).toEqual([['UPDATE']])
  await writer.insert(samples, day('2026-01-01', 1, 'late'))
  expect(await count(test.db, 'public.seen')).toBe(2)
})

it('rows are not taken back where a publication would send them as new ones', async () => {
  const { test, writer, lifecycle } = engine
  await writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  await test.db.execute('create publication everything for table readings')
  await expect(writer.upsert(readings, day('2026-01-01'))).rejects.toMatchObject({ code: 'TM_MIGRATION' })
  expect(await writer.insert(readings, day('2026-01-01', 4), { onConflict: 'ignore' })).toEqual({
    inserted: 1,
    ignored: 3,
  })
})

it('append-only tables refuse what they always refuse, and compare keys with the lake', async () => {
  await engine.close()
  const events = hypertable('public.events', {
    columns: {
      time: t.timestamptz(),
      tenant: t.text(),
      sensor: t.text(),
      value: t.float8().nullable(),
    },
    time: 'time',
    primaryKey: ['tenant', 'sensor', 'time'],
    chunk: '1 day',
    appendOnly: true,
  })
  engine = await createColdEngine(events)
  const { writer, lifecycle } = engine
  await writer.insert(events, day('2026-01-01'))
  await lifecycle.freeze(events)
  await expect(writer.upsert(events, day('2026-01-01'))).rejects.toMatchObject({ code: 'TM_APPEND_ONLY' })
  await expect(writer.delete(events, { where: null, range: null })).rejects.toMatchObject({
    code: 'TM_APPEND_ONLY',
  })
  await expect(writer.insert(events, day('2026-01-01'))).rejects.toMatchObject({ code: 'TM_DUPLICATE_KEY' })
  expect(await writer.insert(events, day('2026-01-01', 4), { onConflict: 'ignore' })).toEqual({
    inserted: 1,
    ignored: 3,
  })
})

it.each([readings, samples])(
  'writers and movers of $name at the same time neither lose nor double a row',
  { timeout: 60_000 },
  async (definition) => {
    const { test } = engine
    const dates = ['2026-01-01', '2026-01-02', '2026-01-03']
    const writers = 3
    const seed = Math.floor(Math.random() * 2 ** 31)
    let state = seed
    const random = (n: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return (state >>> 8) % n
    }
    /** By `sensor date`; each writer has sensors of its own, so it knows what its rows are. */
    const model = new Map<string, number>()
    const row = (sensor: string, date: string, value: number) => ({
      ...day(date, 1)[0]!,
      sensor,
      value,
    })
    for (let w = 0; w < writers; w += 1)
      for (const date of dates) for (let i = 0; i < 8; i += 1) model.set(`w${w}-${i} ${date}`, 0)
    await engine.writer.insert(
      definition,
      [...model].map(([key, value]) => row(...(key.split(' ') as [string, string]), value)),
    )
    await engine.lifecycle.freeze(definition)
    let isDone = false
    const moves: string[] = []
    const move = async () => {
      const { lifecycle } = engine.another({ settings: { emptyShare: 0 } })
      const kinds = ['freeze', 'compact', 'thaw', 'freeze', 'compact', 'reclaim'] as const
      for (let i = 0; !isDone; i += 1) {
        const kind = kinds[i % kinds.length]!
        try {
          await lifecycle[kind](definition)
          moves.push(kind)
        } catch (error) {
          if (!isTidemarkError(error) || error.code !== 'TM_BUSY') throw error
        }
      }
    }
    const write = async (w: number) => {
      const { writer } = engine.another()
      // on a busy machine the movers may need longer
      for (let i = 0; i < 25 || (moves.length <= 3 && i < 1_000); i += 1) {
        const sensors = Array.from({ length: 3 }, () => `w${w}-${random(10)}`)
        const date = dates[random(3)]!
        const keys = [...new Set(sensors)].map((sensor) => `${sensor} ${date}`)
        const value = i + 1
        const rows = [...new Set(sensors)].map((sensor) => row(sensor, date, value))
        const kind = random(4)
        if (kind === 0 && definition.primaryKey !== null) {
          await writer.upsert(definition, rows)
          for (const key of keys) model.set(key, value)
        } else if (kind === 1 && definition.primaryKey !== null) {
          const fresh = keys.filter((key) => !model.has(key))
          expect(await writer.insert(definition, rows, { onConflict: 'ignore' })).toEqual({
            inserted: fresh.length,
            ignored: keys.length - fresh.length,
          })
          for (const key of fresh) model.set(key, value)
        } else {
          const range = { from: parseInstant(`${date}T00:00:00Z`), to: parseInstant(`${date}T12:00:00Z`) }
          const input = { where: where(definition, { sensor: { in: sensors } } as never), range }
          const there = keys.filter((key) => model.has(key))
          if (kind === 2) {
            expect(await writer.delete(definition, input)).toEqual({ deleted: there.length })
            for (const key of there) model.delete(key)
          } else {
            expect(await writer.update(definition, { set: { value }, ...input })).toEqual({
              updated: there.length,
            })
            for (const key of there) model.set(key, value)
          }
        }
      }
    }
    const moving = move()
    try {
      await Promise.all(Array.from({ length: writers }, (_, w) => write(w)))
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
    } finally {
      isDone = true
    }
    await moving
    expect(moves.length, 'moves').toBeGreaterThan(3)
    const rows = (await engine.rows(definition)).map(
      ({ sensor, time, value }) => `${sensor} ${(time as string).slice(0, 10)} ${value}`,
    )
    expect([seed, rows.sort()]).toEqual([seed, [...model].map(([key, value]) => `${key} ${value}`).sort()])
    expect((await engine.lifecycle.verify([definition])).problems).toEqual([])
    expect((await states(test.db)).length).toBe(3)
  },
)
