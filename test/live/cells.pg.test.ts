import { expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { LiveHub } from '../../src/live/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { scopedTo } from '../../src/scoped.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { createTestEngine } from '../helpers/test-engine.ts'
import { TestReader, until } from './test-reader.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), model: t.text() },
  time: 'time',
  chunk: '1 day',
  retain: '3 days',
  late: 'merge',
})
const daily = continuousAggregate('metrics.daily', {
  from: requests,
  bucket: '1 day',
  by: ['model'],
  select: { n: { fn: 'count' } },
  refresh: { every: '1 minute' },
  retain: '20 days',
})

it('late rows that only cells count, and cells that expire, are told as every change is', async () => {
  const clock = fixedClock(parseInstant('2026-06-01T12:00:00Z'))
  const { tm, close } = await createTestEngine(defineConfig({ datasets: [requests, daily] }), { clock })
  const hub = new LiveHub({
    feed: tm.feed,
    explain: (error) => {
      if (isTidemarkError(error)) return error
      throw error
    },
  })
  try {
    await tm.insert(requests, [{ time: '2026-06-01T10:00:00Z', model: 'm' }])
    await tm.refresh('metrics.daily')
    clock.set(parseInstant('2026-06-10T12:00:00Z'))
    await tm.expire('metrics.requests')
    const caller = { engine: scopedTo(tm, { kind: 'all' }), principal: 'somebody', datasets: null }
    const reader = new TestReader(hub, caller, { dataset: 'metrics.daily', select: { n: 'n' } })
    await until('there is an answer', () => reader.rows?.length === 1)
    expect(reader.rows).toEqual([{ bucket: '2026-06-01T00:00:00Z', n: 1 }])
    await tm.insert(requests, [{ time: '2026-06-01T11:00:00Z', model: 'm' }])
    await until('the late row is counted', () => (reader.rows as { n: number }[])[0]?.n === 2)
    clock.set(parseInstant('2026-06-25T12:00:00Z'))
    await tm.createWorker().runOnce({ force: true })
    await until('the cell is gone', () => reader.rows?.length === 0)
  } finally {
    hub.close()
    await close()
  }
})
