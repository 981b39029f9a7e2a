import { afterEach, beforeEach, expect, it } from 'vitest'
import {
  avg,
  continuousAggregate,
  createTidemark,
  defineConfig,
  hypertable,
  max,
  stddev,
  sum,
  t,
} from '../../src/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const flows = hypertable('public.flows', {
  columns: { time: t.timestamptz(), account: t.text(), amount: t.float8() },
  time: 'time',
  chunk: '1 day',
})
const hourly = (more: object) =>
  continuousAggregate('public.hourly', {
    from: flows,
    bucket: '1 hour',
    by: ['account'],
    select: { total: sum('amount'), mean: avg('amount'), spread: stddev('amount'), ...more },
    refresh: { every: '1 minute' },
  })
const clock = fixedClock(parseInstant('2026-01-02T12:30:00Z'))

let engine: TestEngine
beforeEach(async () => {
  engine = await createTestEngine(defineConfig({ datasets: [flows, hourly({})] }), { clock })
  // values that cancel each other out: 0, 1 or 2, by the order in which they are added
  await engine.tm.insertUnknown(
    'flows',
    [1e16, 1, -1e16].map((amount, i) => ({ time: `2026-01-01T05:0${i}:00Z`, account: 'a', amount })),
  )
  await engine.tm.refresh('hourly')
})
afterEach(() => engine.close())

const swapAfter = async (total: number) => {
  await engine.test.db.execute(`update tidemark_aggregates.hourly_1 set state_0_small = ${total}`)
  await using tm = await createTidemark(
    defineConfig({ datasets: [flows, hourly({ most: max('amount') })] }),
    {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    },
  )
  await tm.migrate()
  return (await tm.refresh('hourly')).swap
}

it('a sum of values that cancel each other out may be what another order of them gives', async () => {
  expect(await swapAfter(2)).toMatchObject({ kind: 'swapped', problem: null })
})

it('a sum that no order of its values gives is a difference, and an alarm', async () => {
  expect(await swapAfter(1e4)).toMatchObject({ kind: 'different' })
  const { rows } = await engine.test.db.query(raw('select kind, dataset, detail from tidemark.alarm'))
  expect(rows).toEqual([['new version', 'public.hourly', { problem: expect.stringContaining('"total" is') }]])
})
