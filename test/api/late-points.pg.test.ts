import { expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import { continuousAggregate, count, defineConfig, hypertable, t } from '../../src/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { createTestEngine } from '../helpers/test-engine.ts'

const cpu = hypertable('public.cpu', {
  columns: { time: t.timestamptz(), usage: t.float8() },
  time: 'time',
  chunk: '1 day',
  retain: '10 days',
  late: 'merge',
})
const hourly = continuousAggregate('public.hourly', { from: cpu, bucket: '1 hour', select: { n: count() } })
const config = defineConfig({ datasets: [cpu, hourly], ingest: { lineProtocol: { into: [cpu] } } })
const clock = fixedClock(parseInstant('2026-01-02T12:00:00Z'))

it('late points of a protocol are merged into continuous aggregates where there is no key to compare', async () => {
  const engine = await createTestEngine(config, { clock })
  const app = await createServer(engine.tm)
  const write = (...times: readonly string[]) =>
    app.inject({
      method: 'POST',
      url: '/write?precision=ms',
      payload: times.map((time) => `cpu usage=1 ${Date.parse(time)}`).join('\n'),
    })
  const counted = async (): Promise<number> => {
    const { rows } = await engine.tm.query(hourly, {})
    return rows.reduce((all, { n }) => all + Number(n), 0)
  }
  try {
    expect((await write('2026-01-01T04:30:00Z', '2026-01-05T00:00:00Z')).statusCode).toBe(204)
    clock.set(parseInstant('2026-01-14T12:00:00Z'))
    await engine.tm.refresh('hourly')
    expect((await engine.tm.expire('cpu')).chunks).toBe(1)
    expect((await write('2026-01-01T04:45:00Z', '2026-01-05T00:30:00Z')).statusCode).toBe(204)
    await engine.tm.refresh('hourly')
    expect(await counted()).toBe(4)
  } finally {
    await app.close()
    await engine.close()
  }
})
