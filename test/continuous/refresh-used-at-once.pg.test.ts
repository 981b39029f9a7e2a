import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { type Answer, count, sum } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const cpu = hypertable('metrics.cpu', {
  columns: { time: t.timestamptz(), host: t.text(), load: t.int4() },
  time: 'time',
  chunk: '1 day',
  changeCell: '1 hour',
})
const select = { n: count(), load: sum('load') }
const byHost = continuousAggregate('metrics.cpu_by_host', {
  from: cpu,
  bucket: '1 hour',
  by: ['host'],
  select,
})
const hourly = continuousAggregate('metrics.cpu_hourly', {
  from: byHost,
  bucket: '1 hour',
  select: { n: 'n', load: 'load' },
})
const config = defineConfig({ datasets: [cpu, byHost, hourly], cache: { memory: 0 } })
const question = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', bucket: '1 hour', select }

describe('cells that this process has computed', () => {
  let engine: TestEngine<typeof config>

  const ask = (): Promise<Answer> => engine.tm.query(cpu, question) as Promise<Answer>
  const sourcesOf = ({ plan }: Answer): string[] => [...new Set(plan.parts.map(({ source }) => source))]
  const row = (minute: number, host: string) => ({
    time: BigInt(Date.UTC(2026, 0, 1, 0, minute)) * 1000n,
    host,
    load: minute % 7,
  })

  beforeAll(async () => {
    engine = await createTestEngine(config)
    // enough of them that cells by host take more pages than cells of all
    const hosts = Array.from({ length: 40 }, (_, i) => `h${i}`)
    const minutes = Array.from({ length: 24 * 3 }, (_, i) => i * 20)
    await engine.tm.insert(
      cpu,
      minutes.flatMap((minute) => hosts.map((host) => row(minute, host))),
    )
  })

  afterAll(() => engine?.close())

  it('are used by the next query, the coarsest of them', async () => {
    const before = await ask()
    expect(sourcesOf(before)).toEqual(['hot'])
    await engine.tm.refresh(byHost.name)
    await engine.tm.refresh(hourly.name)
    const after = await ask()
    expect(sourcesOf(after)).toEqual([hourly.name])
    expect(after.rows).toEqual(before.rows)
  })

  it('are used again by the next query after late rows have been refreshed', async () => {
    await engine.tm.insert(cpu, [row(61, 'e')])
    const late = await ask()
    expect(sourcesOf(late)).toContain('hot')
    for (const { name } of [byHost, hourly]) await engine.tm.refresh(name)
    const after = await ask()
    expect(sourcesOf(after)).toEqual([hourly.name])
    expect(after.rows).toEqual(late.rows)
  })
})
