import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ReportDesk } from '../../src/reports/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const rankings = hypertable('seo.rankings', {
  columns: { time: t.timestamptz(), project: t.text(), keyword: t.text(), position: t.int4() },
  time: 'time',
  tenant: 'project',
  primaryKey: ['project', 'keyword', 'time'],
  chunk: '1 day',
})
const config = defineConfig({ datasets: [rankings] })
const clock = fixedClock(parseInstant('2026-03-10T12:00:00Z'))
const one = (tenant: string) => ({ kind: 'one', tenant }) as const
const daily = {
  dataset: 'seo.rankings',
  title: 'Yesterday',
  query: {
    from: '-1 day',
    by: ['keyword'],
    select: { worst: { fn: 'max', column: 'position' }, n: { fn: 'count' } },
    order: ['keyword'],
  },
  schedule: { every: '1 day', delay: '2 hours' },
}

describe('reports', () => {
  let engine: TestEngine<typeof config>
  const work = async () => {
    const worker = engine.tm.createWorker()
    const runs = await worker.runOnce({ force: true })
    await worker.stop()
    return runs.find(({ name }) => name === 'reports')!.result
  }
  beforeAll(async () => {
    engine = await createTestEngine(config, { clock })
    const rows = ['a', 'b'].flatMap((project) =>
      Array.from({ length: 96 }, (_, i) => ({
        time: parseInstant('2026-03-09T00:00:00Z') + BigInt(i) * 3_600_000_000n,
        project,
        keyword: `${project}${i % 2}`,
        position: i,
      })),
    )
    await engine.tm.insert(rankings, rows)
  })
  afterAll(() => engine.close())

  it('are asked once a period has ended, as of its end, for whom they are', async () => {
    const { tm } = engine
    const saved = await tm.reportsOf(one('a')).save('daily', daily, 'key 1')
    expect(saved).toMatchObject({ tenant: 'a', nextAt: '2026-03-11T02:00:00Z', createdBy: 'key 1', keep: 30 })
    await tm.reports.save('daily', daily)
    expect(await work()).toEqual({ answered: 0, failed: 0 })
    // nobody was there for a while: the last period is asked about alone
    clock.set(parseInstant('2026-03-12T02:30:00Z'))
    expect(await work()).toEqual({ answered: 2, failed: 0 })
    expect(await work()).toEqual({ answered: 0, failed: 0 })
    const { run, report } = await tm.reportsOf(one('a')).latest('daily')
    expect(run).toMatchObject({ asOf: '2026-03-12T00:00:00Z', rows: 2 })
    expect(report).toMatchObject({ nextAt: '2026-03-13T02:00:00Z', failures: 0 })
    const answer = await tm.reportsOf(one('a')).answer('daily', run)
    expect(answer.rows).toEqual([
      { keyword: 'a0', worst: 70, n: 12 },
      { keyword: 'a1', worst: 71, n: 12 },
    ])
    expect(answer.plan).toMatchObject({
      range: { from: '2026-03-11T00:00:00Z', to: '2026-03-12T00:00:00Z' },
    })
    // columns come in the order in which they were asked for
    expect(answer.columns.map(({ name }) => name)).toEqual(['keyword', 'worst', 'n'])
    const all = await tm.reports.latest('daily')
    expect((await tm.reports.answer('daily', all.run)).rows).toHaveLength(4)
  })

  it('are of one tenant: others find neither them nor what they gave', async () => {
    const { tm } = engine
    const theirs = tm.reportsOf(one('b'))
    expect(await theirs.list()).toEqual([])
    const { run } = await tm.reportsOf(one('a')).latest('daily')
    for (const look of [
      () => theirs.find('daily'),
      () => theirs.run('daily'),
      () => theirs.latest('daily', run.id),
      () => theirs.remove('daily'),
    ])
      await expect(look()).rejects.toMatchObject({ code: 'TM_UNKNOWN_REPORT' })
    await theirs.save('daily', { ...daily, schedule: null })
    await theirs.run('daily')
    await expect(theirs.latest('daily', run.id)).rejects.toMatchObject({ code: 'TM_UNKNOWN_REPORT' })
    await expect(tm.reportsOf({ kind: 'none' }).save('x', daily)).rejects.toMatchObject({
      code: 'TM_FORBIDDEN',
    })
    const restricted = tm.reportsOf(one('a'), (name) => name !== 'seo.rankings')
    expect(await restricted.list()).toEqual([])
    await expect(restricted.latest('daily')).rejects.toMatchObject({ code: 'TM_FORBIDDEN' })
  })

  it('keep as many answers as they want', async () => {
    const mine = engine.tm.reportsOf(one('b'))
    await mine.save('few', { dataset: 'seo.rankings', query: { limit: 1 }, keep: 2 })
    const runs = [await mine.run('few'), await mine.run('few'), await mine.run('few')]
    expect((await mine.runs('few')).map(({ id }) => id)).toEqual([runs[2]!.id, runs[1]!.id])
    await mine.remove('few')
    await expect(mine.runs('few')).rejects.toMatchObject({ code: 'TM_UNKNOWN_REPORT' })
  })

  it('that cannot be asked are refused when they are saved, with the place', async () => {
    const { reports } = engine.tm
    const path = async (name: string, more: object) =>
      reports.save(name, { ...daily, ...more }).then(
        () => null,
        ({ code, params }: { code: string; params: { path?: string } }) => `${code} ${params.path ?? ''}`,
      )
    expect(await path('No Name', {})).toBe('TM_QUERY name')
    expect(await path('x', { query: { bucket: '1 day', select: { n: { fn: 'odd' } } } })).toBe(
      'TM_QUERY select.n.fn',
    )
    expect(await path('x', { query: { from: 'soon' } })).toBe('TM_QUERY query.from')
    expect(await path('x', { schedule: { every: '1 second' } })).toBe('TM_QUERY schedule.every')
    expect(await path('x', { schedule: { every: '1 day', zone: 'Mars' } })).toBe('TM_QUERY schedule.zone')
    expect(await path('x', { schedule: { every: '1 day', delay: '2 months' } })).toBe(
      'TM_QUERY schedule.delay',
    )
    expect(await path('x', { schedule: { evry: '1 day' } })).toBe('TM_QUERY schedule.evry')
    expect(await path('x', { keep: 0 })).toBe('TM_QUERY keep')
    expect(await path('x', { dataset: 'seo.nothing' })).toBe('TM_UNKNOWN_DATASET ')
    expect((await reports.list()).map(({ name }) => name)).not.toContain('x')
  })

  it('that fail are asked again soon, say why, and hold nobody up', async () => {
    const { db } = engine.test
    let isBroken = true
    const desk = new ReportDesk({
      db,
      clock,
      check: () => undefined,
      ask: async (dataset, query, call) => {
        if (isBroken) throw new Error('no such luck')
        return engine.tm.queryUnknown(dataset, query, call)
      },
    })
    for (const { name } of await engine.tm.reports.list())
      await engine.tm.reports.remove(name).catch(() => undefined)
    for (const tenant of ['a', 'b'])
      for (const { name } of await engine.tm.reportsOf(one(tenant)).list())
        await engine.tm.reportsOf(one(tenant)).remove(name)
    const mine = desk.of(one('a'))
    await mine.save('daily', daily)
    clock.set(parseInstant('2026-03-13T02:00:00Z'))
    const signal = new AbortController().signal
    expect(await desk.runDue(signal)).toEqual({ answered: 0, failed: 1 })
    expect(await mine.find('daily')).toMatchObject({
      failures: 1,
      lastError: 'Error: no such luck',
      nextAt: '2026-03-13T02:01:00Z',
    })
    isBroken = false
    clock.set(parseInstant('2026-03-13T02:01:00Z'))
    // any number of workers at once
    const all = await Promise.all([desk.runDue(signal), desk.runDue(signal), desk.runDue(signal)])
    expect(all.reduce((sum, { answered }) => sum + answered, 0)).toBe(1)
    expect((await mine.latest('daily')).run.asOf).toBe('2026-03-13T00:00:00Z')
    expect(await mine.find('daily')).toMatchObject({
      failures: 0,
      lastError: null,
      nextAt: '2026-03-14T02:00:00Z',
    })
  })
})
