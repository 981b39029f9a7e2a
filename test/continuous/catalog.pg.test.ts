import { afterAll, beforeAll, expect, it } from 'vitest'
import { continuousAggregate, migrateAggregates, readVersions } from '../../src/continuous/index.ts'
import { migrate } from '../../src/migrate/index.ts'
import { count, max } from '../../src/query/index.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const columns = { time: t.timestamptz(), host: t.text(), usage: t.float8() }
const cpu = hypertable('metrics.cpu', { columns, time: 'time' })
const disk = hypertable('metrics.disk', { columns, time: 'time' })
const hosts = table('metrics.hosts', { columns: { id: t.text(), room: t.text() }, primaryKey: ['id'] })
const hourly = continuousAggregate('stats.hourly', {
  from: cpu,
  bucket: '1 hour',
  by: ['host'],
  dimensions: { room: { table: hosts, on: { id: 'host' }, column: 'room' } },
  select: { zebra: count(), ape: max('usage') },
})
const daily = continuousAggregate('stats.daily', {
  from: disk,
  bucket: '1 day',
  by: [],
  select: { n: count() },
})

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await migrate(test.db, [cpu, disk, hosts])
  await migrateAggregates(test.db, [hourly, daily])
})
afterAll(() => test.drop())

it('versions are read back as they were declared, outputs in their order, with what the view looks up', async () => {
  const [version, ...others] = await readVersions(test.db, cpu)
  expect(others).toEqual([])
  expect(version).toMatchObject({
    name: 'stats.hourly',
    relation: 'stats_hourly_1',
    state: 'current',
    epoch: 0n,
    dimensions: { room: { table: 'metrics.hosts', on: { id: 'host' }, column: 'room' } },
  })
  expect(version!.materialization.base).toBe(cpu)
  expect(version!.materialization.outputs.map(({ name }) => name)).toEqual(['zebra', 'ape'])
})

it('a definition is decoded once, with the declared hypertable and without one', async () => {
  const first = await readVersions(test.db, cpu)
  const again = await readVersions(test.db, cpu)
  expect(again[0]!.materialization).toBe(first[0]!.materialization)
  const all = await readVersions(test.db, null)
  const allAgain = await readVersions(test.db, null)
  expect(all.map(({ name }) => name)).toEqual(['stats.hourly', 'stats.daily'])
  expect(allAgain.map(({ materialization }) => materialization)).toEqual(
    all.map(({ materialization }) => materialization),
  )
  expect(allAgain[0]!.materialization).toBe(all[0]!.materialization)
  expect(all[0]!.materialization.base.columns).toEqual(cpu.columns)
})

it('building and current ones, or those of the states that are asked for', async () => {
  const changed = continuousAggregate('stats.daily', {
    from: disk,
    bucket: '1 day',
    by: ['host'],
    select: { n: count() },
  })
  await migrateAggregates(test.db, [hourly, changed])
  const states = async (options = {}) =>
    (await readVersions(test.db, disk, options)).map(({ state }) => state)
  expect(await states()).toEqual(['current', 'building'])
  expect(await states({ states: ['building'] })).toEqual(['building'])
  await test.db.query(
    raw(`update tidemark.aggregate_version set unknown_before = '{"0": "2026-01-01T00:00:00Z"}'`),
  )
  const [version] = await readVersions(test.db, disk)
  expect([...version!.unknownBefore]).toEqual([[0, 1767225600000000n]])
})
