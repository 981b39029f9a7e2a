import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createTidemark } from '../../src/engine.ts'
import { defineConfig } from '../../src/schema/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { testChunks } from '../hot/create-test-hypertable.ts'
import { createFixture, day, dropPartitions, type Fixture, samples, states } from './fixture.ts'

/**
 * A flip has the chunk's row and needs the hypertable's at its end; who makes, drops or gives back partitions has the
 * hypertable's row first. With a deadlock_timeout below every lock_timeout a circle would show as 40P01.
 */
let fixture: Fixture
let mover: Awaited<ReturnType<Fixture['test']['connect']>>
/** How often something was given up for a while: each pause has its own jitter. */
let pauses = 0
const random = (): number => {
  pauses += 1
  return 0.5
}
beforeEach(async () => {
  pauses = 0
  fixture = await createFixture(samples)
  const { test, writer, lifecycle } = fixture
  await test.db.execute(`alter database ${test.name} set deadlock_timeout = '10ms'`)
  await writer.insert(samples, day('2026-01-01'))
  await lifecycle.freeze(samples)
  mover = await test.connect()
})
afterEach(() => fixture.drop())

/** What `work` comes to while a mover holds the chunk's row, which then takes the hypertable's without waiting for `work`. */
async function besideMover<T>(work: () => Promise<T>): Promise<T> {
  await mover.execute('begin; select from tidemark.chunk where id = 1 for update')
  let isOver = false
  const under = work().finally(() => {
    isOver = true
  })
  under.catch(() => {})
  await expect
    .poll(async () => isOver || pauses > 0 || (await isLocked()), { timeout: 10_000, interval: 1 })
    .toBe(true)
  await mover.execute(
    `set local lock_timeout = '5s'; update tidemark.hypertable set epoch = epoch + 1; commit`,
  )
  return under
}

/** Whether somebody has the hypertable's row. */
async function isLocked(): Promise<boolean> {
  const { rows } = await fixture.test.db.query(sql`
    select not exists (select from tidemark.hypertable for no key update skip locked)`)
  return rows[0]![0] as boolean
}

it('dropping a partition does not wait for whoever moves its chunk', async () => {
  const { another } = fixture
  const lifecycle = another({ settings: { emptyShare: 0, lockTimeoutMs: 2000 } })
  await expect
    .poll(
      async () => {
        await another().reclaim(samples)
        return (await another().status(samples))[0]!.hasHotPages
      },
      { timeout: 20_000, interval: 100 },
    )
    .toBe(false)
  expect(await besideMover(() => lifecycle.reclaim(samples))).toMatchObject({ dropped: 0 })
  expect(await lifecycle.reclaim(samples)).toMatchObject({ dropped: 1 })
})

it('a partition that comes back waits for the mover outside of its transaction', async () => {
  const { test } = fixture
  await dropPartitions(fixture, samples)
  const chunks = testChunks(test.db, { lockTimeoutMs: 2000, random })
  const map = await besideMover(() => chunks.ensureChunks(samples, [parseInstant('2026-01-01T00:00:00Z')]))
  expect(map.chunks[0]!.relation).not.toBeNull()
  expect(await states(test.db)).toEqual(['cold 1'])
})

it('an eject waits for the mover outside of its transaction', async () => {
  const { another, test } = fixture
  const lifecycle = another({ settings: { lockTimeoutMs: 2000 }, random })
  await lifecycle.thaw(samples)
  expect(await besideMover(() => lifecycle.eject(samples))).toMatchObject({ partitions: 2 })
  const { rows } = await test.db.query(sql`select count(*) from samples`)
  expect(rows).toEqual([[3n]])
})

it('an import into the lake waits for the mover outside of its transaction', async () => {
  const { test, dir } = fixture
  const file = join(dir, 'late.csv')
  await writeFile(file, 'time,tenant,sensor,value\n2026-01-01T12:00:00Z,t1,late,1\n')
  const config = defineConfig({ datasets: [samples], lake: { dir: 'lake', threads: 1 } })
  const tm = await createTidemark(config, { connectionString: test.connectionString, root: dir })
  const report = await besideMover(() => tm.import('public.samples', file, { cold: true }))
  expect(report).toMatchObject({ rows: 1 })
  expect(await states(test.db)).toEqual(['cold 2'])
  await tm.close()
})
