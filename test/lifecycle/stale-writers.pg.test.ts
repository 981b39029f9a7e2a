import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createTidemark } from '../../src/engine.ts'
import type { Connection } from '../../src/postgres/index.ts'
import { defineConfig } from '../../src/schema/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createFixture, day, type Fixture, readings } from './fixture.ts'

/** In REPEATABLE READ the guards read a catalog that may be older than the partitions. */
let fixture: Fixture
let writer: Connection & { close(): Promise<void> }
beforeEach(async () => {
  fixture = await createFixture(readings)
  await fixture.writer.insert(readings, day('2026-01-01'))
  await fixture.writer.insert(readings, day('2026-01-03'))
  await fixture.lifecycle.freeze(readings, { to: parseInstant('2026-01-02T00:00:00Z') })
  await fixture.lifecycle.reclaim(readings)
  writer = await fixture.test.connect()
})
afterEach(() => fixture.drop())

/** The code of each statement's refusal, or how many rows it took. */
async function attempt(statement: string): Promise<string | number> {
  await writer.execute('savepoint s')
  try {
    return (await writer.query(raw(statement))).rowCount
  } catch (error) {
    return (error as Error).message.match(/TM_COLD/)?.[0] ?? (error as Error).message
  } finally {
    await writer.execute('rollback to savepoint s')
  }
}

const takeSnapshot = () =>
  writer.execute('begin isolation level repeatable read; select pg_current_snapshot()')
const same = `insert into readings (time, tenant, sensor, value) values ('2026-01-01T00:00:00Z', 't1', 's0', 99)`
const inRange = `where time >= '2026-01-01T00:00:00Z' and time < '2026-01-01T05:00:00Z'`

it('a writer with a snapshot from before a cold partition was dropped is told that rows are cold', async () => {
  await takeSnapshot()
  const { dropped } = await fixture.another({ settings: { emptyShare: 0 } }).reclaim(readings)
  expect(dropped).toBe(1)
  expect(await attempt(same)).toBe('TM_COLD')
  expect(await attempt('update readings set value = 5')).toBe('TM_COLD')
  expect(await attempt(`delete from readings ${inRange}`)).toBe('TM_COLD')
  expect(
    await attempt(`update readings set value = 5 where time >= '2026-01-03' and time < '2026-01-04'`),
  ).toBe(3)
  await writer.execute('rollback')
})

it('a writer with a snapshot from before a cold partition came back is told that rows are cold', async () => {
  await fixture.another({ settings: { emptyShare: 0 } }).reclaim(readings)
  await takeSnapshot()
  await fixture.chunks.map(readings, { fresh: true })
  await fixture.chunks.ensureChunks(readings, [parseInstant('2026-01-01T00:00:00Z')])
  expect(await attempt(same)).toBe('TM_COLD')
  expect(await attempt(`update readings set value = 5 ${inRange}`)).toBe('TM_COLD')
  expect(await attempt(`delete from readings ${inRange}`)).toBe('TM_COLD')
  expect(await attempt(`delete from readings where time >= '2026-01-03' and time < '2026-01-04'`)).toBe(3)
  await writer.execute('rollback')
})

it('a writer with a snapshot from before an import into the lake has to begin anew', async () => {
  const { test, dir, clock } = fixture
  const config = defineConfig({ datasets: [readings], lake: { dir } })
  await using tm = await createTidemark(config, { connectionString: test.connectionString, clock })
  await takeSnapshot()
  const file = join(dir, 'history.csv')
  await writeFile(file, 'time,tenant,sensor,value\n2025-06-01T00:00:00Z,t1,s0,1\n')
  await tm.import('readings', file, { cold: true })
  const key = `values ('2025-06-01T00:00:00Z', 't1', 's0', 99)`
  expect(await attempt(`insert into readings (time, tenant, sensor, value) ${key}`)).toMatch(
    /40001|could not serialize/,
  )
  await writer.execute('rollback; begin')
  expect(await attempt(`insert into readings (time, tenant, sensor, value) ${key}`)).toBe('TM_COLD')
  await writer.execute('rollback')
})
