import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLateMerger, mayDropChunk } from '../../src/continuous/index.ts'
import { createHotWriter, type HotWriter } from '../../src/hot/index.ts'
import {
  continuousAggregate,
  count,
  createTidemark,
  defineConfig,
  hypertable,
  max,
  percentile,
  sum,
  t,
} from '../../src/index.ts'
import { createFolderStore } from '../../src/lake/store/folder.ts'
import { createLifecycle, type Lifecycle } from '../../src/lifecycle/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { testChunks } from '../hot/create-test-hypertable.ts'
import { createPlainFiles } from '../lifecycle/plain-files.ts'

const requests = hypertable('public.requests', {
  columns: { time: t.timestamptz(), model: t.text(), ms: t.int8() },
  time: 'time',
  chunk: '1 day',
  retain: '10 days',
  late: 'merge',
})
const shape = { n: count(), total: sum('ms'), p95: percentile('ms', 0.95) }
const hourly = continuousAggregate('public.hourly', { from: requests, bucket: '1 hour', select: shape })
// a bucket lies in two chunks
const daily = continuousAggregate('public.daily', {
  from: requests,
  bucket: { every: '1 day', zone: 'Europe/Berlin' },
  select: { n: count() },
})
const changed = continuousAggregate('public.hourly', {
  from: requests,
  bucket: '1 hour',
  select: { ...shape, most: max('ms') },
})
const clock = fixedClock(0n)
const row = (time: string) => ({ time: parseInstant(time), model: 'a', ms: 1n })
const canonical = (time: string) => [[parseInstant(time), 'a', 1n]] as const

/** A promise, and what settles it. */
function signal(): { readonly given: Promise<void>; readonly give: () => void } {
  let give = (): void => {}
  const given = new Promise<void>((resolve) => {
    give = resolve
  })
  return { given, give }
}

describe('a late row', () => {
  let engine: TestEngine
  let writer: HotWriter
  beforeEach(async () => {
    clock.set(parseInstant('2026-01-05T12:00:00Z'))
    engine = await createTestEngine(defineConfig({ datasets: [requests, hourly, daily] }), { clock })
    const { db } = engine.test
    writer = createHotWriter({ db, chunks: testChunks(db), clock, late: createLateMerger({ clock }) })
    await writer.insert(
      requests,
      ['01', '02', '03', '08'].map((day) => row(`2026-01-${day}T04:30:00Z`)),
    )
    clock.set(parseInstant('2026-01-14T12:00:00Z'))
    await refresh()
  })
  afterEach(() => engine.close())

  const refresh = async () => {
    for (const name of ['hourly', 'daily']) await engine.tm.refresh(name)
  }
  const counted = async (name: string): Promise<number> => {
    const { rows } = await engine.tm.queryUnknown(name, {})
    return rows.reduce((all, one) => all + Number(one['n']), 0)
  }
  const stored = async (): Promise<number> =>
    (await engine.test.db.query(raw('select count(*)::int4 from requests'))).rows[0]![0] as number
  const isWaiting = async (): Promise<boolean> => {
    const { rows } = await engine.test.db.query(
      raw(`select count(*)::int4 from pg_locks where not granted and pid in (
        select pid from pg_stat_activity where datname = current_database())`),
    )
    return (rows[0]![0] as number) > 0
  }
  /** Drops chunks; `during` runs once, in the transaction that drops the one of a day, before it asks whether it may. */
  const dropping = (day: string, during: () => Promise<void>): Lifecycle => {
    const { db } = engine.test
    const store = createFolderStore({ dir: engine.root })
    let isDone = false
    return createLifecycle({
      db,
      store,
      files: createPlainFiles(store),
      chunks: testChunks(db),
      clock,
      mayExpire: async (request) => {
        const isIts = request.chunk.range.from === parseInstant(`${day}T00:00:00Z`)
        if (request.db !== db && isIts && !isDone) {
          isDone = true
          await during()
        }
        return mayDropChunk(request)
      },
    })
  }
  /** Everything that was acknowledged is counted, once what is not dropped yet has been. */
  const expectAllCounted = async (rows: number): Promise<void> => {
    expect([await counted('hourly'), await counted('daily')]).toEqual([rows, rows])
    for (let round = 0; round < 2; round++) {
      await refresh()
      await engine.tm.expire('requests')
      expect([await counted('hourly'), await counted('daily')]).toEqual([rows, rows])
    }
  }

  it('of a chunk that is being dropped is counted', async () => {
    let late: Promise<unknown> = Promise.resolve()
    await dropping('2026-01-01', async () => {
      late = writer.insert(requests, [row('2026-01-01T05:00:00Z')])
      await expect.poll(isWaiting, { timeout: 5000 }).toBe(true)
    }).expire(requests)
    expect(await late).toMatchObject({ ignored: 0 })
    await expectAllCounted(5)
  })

  it.each(['2026-01-02T22:59:00Z', '2026-01-02T23:01:00Z', '2026-01-03T05:00:00Z'])(
    'of %s is counted when it comes while a chunk that shares its bucket is dropped',
    async (time) => {
      let late: Promise<unknown> = Promise.resolve()
      await dropping('2026-01-02', async () => {
        late = writer.insert(requests, [row(time)])
        // it waits for the lock of its chunk, or is through
        await Promise.race([late, expect.poll(isWaiting, { timeout: 5000 }).toBe(true)])
      }).expire(requests)
      expect(await late).toMatchObject({ ignored: 0 })
      await expectAllCounted(5)
    },
  )

  it('keeps a chunk that shares its bucket from being dropped before it is committed', async () => {
    const [written, commit] = [signal(), signal()]
    const late = writer.insertBatch({
      definition: requests,
      rows: canonical('2026-01-03T05:00:00Z'),
      onConflict: 'error',
      inTransaction: async () => {
        written.give()
        await commit.given
      },
    })
    await written.given
    const drop = engine.tm.expire('requests')
    await expect.poll(isWaiting, { timeout: 5000 }).toBe(true)
    expect(await stored()).toBe(4)
    commit.give()
    expect(await late).toMatchObject({ inserted: 1, merged: 0 })
    // what it has written makes cells invalid, and their rows are needed then
    await drop
    await expectAllCounted(5)
  })

  it('and another one of the same cell wait for each other', async () => {
    await engine.tm.expire('requests')
    const [merged, commit] = [signal(), signal()]
    const one = writer.insertBatch({
      definition: requests,
      rows: canonical('2026-01-01T04:00:00Z'),
      onConflict: 'error',
      inTransaction: async () => {
        merged.give()
        await commit.given
      },
    })
    await merged.given
    const other = writer.insert(requests, [row('2026-01-01T04:10:00Z')])
    await expect.poll(isWaiting, { timeout: 5000 }).toBe(true)
    expect(await engine.tm.refresh('hourly')).toMatchObject({})
    commit.give()
    expect(await one).toMatchObject({ merged: 1 })
    expect(await other).toMatchObject({ merged: 1 })
    await expectAllCounted(6)
  })

  it('is not lost when a call that brings it fails after it was merged', async () => {
    await engine.tm.expire('requests')
    const broken = writer.insertBatch({
      definition: requests,
      rows: canonical('2026-01-01T04:00:00Z'),
      onConflict: 'error',
      inTransaction: () => Promise.reject(new Error('no')),
    })
    await expect(broken).rejects.toThrow('no')
    await expectAllCounted(4)
    expect(await writer.insert(requests, [row('2026-01-01T04:00:00Z')])).toMatchObject({ merged: 1 })
    await expectAllCounted(5)
  })

  it('waits for a refresh, and a refresh leaves it alone', async () => {
    await engine.tm.expire('requests')
    const other = await engine.test.connect()
    await other.execute('begin; select from tidemark.aggregate_version for no key update')
    const late = writer.insert(requests, [row('2026-01-01T04:00:00Z')])
    await expect.poll(isWaiting, { timeout: 5000 }).toBe(true)
    await other.execute('commit')
    expect(await late).toMatchObject({ merged: 1 })
    await expectAllCounted(5)
  })

  it('is in the version that answers when one is swapped in meanwhile', async () => {
    await engine.tm.expire('requests')
    await using next = await createTidemark(defineConfig({ datasets: [requests, changed, daily] }), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    await next.migrate()
    let isSwapped = false
    let rows = 4
    const write = async (): Promise<void> => {
      for (let i = 0; !isSwapped && i < 1000; i++) {
        const { merged } = await writer.insert(requests, [row('2026-01-01T04:00:00Z')])
        rows += merged as number
        await counted('daily')
      }
    }
    const swap = async (): Promise<void> => {
      // a swap begins again when a late row came in between, and gives up after some tries
      for (let tries = 0; !isSwapped && tries < 20; tries++)
        try {
          isSwapped = (await next.refresh('hourly')).swap?.kind === 'swapped'
        } catch (error) {
          expect(error).toMatchObject({ code: 'TM_BUSY' })
        }
      expect(isSwapped).toBe(true)
    }
    await Promise.all([write(), swap()])
    const { rows: states } = await engine.test.db.query(
      sql`select v.state from tidemark.aggregate_version as v order by v.id`,
    )
    expect(states.flat()).toEqual(['retired', 'current', 'current'])
    const sumOf = async (name: string) =>
      (await next.queryUnknown(name, { select: { n: 'n' } })).rows.reduce(
        (all, one) => all + Number(one['n']),
        0,
      )
    expect([await sumOf('hourly'), await sumOf('daily')]).toEqual([rows, rows])
  })
})
