import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const events = hypertable('events', {
  columns: {
    time: t.timestamptz(),
    id: t.text().nullable(),
    user_id: t.text(),
    ms: t.int4().nullable(),
    tags: t.jsonb().nullable(),
  },
  time: 'time',
  chunk: '1 day',
  dedupe: { by: 'id', within: '7 days' },
})
const items = table('items', { columns: { id: t.int4(), note: t.text().nullable() }, primaryKey: ['id'] })
const config = defineConfig({ datasets: [events, items] })

let engine: TestEngine<typeof config>
beforeEach(async () => {
  engine = await createTestEngine(config)
})
afterEach(() => engine.close())

const time = '2026-03-01T10:00:00.123456Z'
const good = { time, user_id: 'u', ms: 1 }
const letters = () => engine.tm.deadLetters
const give = (dataset: string, rows: readonly unknown[]) =>
  engine.tm.ingestUnknown(dataset, rows, { source: 'http' })
const stored = async (dataset: string) => (await engine.tm.queryUnknown(dataset, { columns: '*' })).rows

describe('dead letters', () => {
  it('are counted by dataset and reason, with samples', async () => {
    await give('events', [
      good,
      { ...good, ms: 'slow' },
      { ...good, userid: 'x' },
      { ...good, ms: 'late' },
      7,
    ])
    await give('items', [{ id: 'one' }])
    const groups = await letters().groups({}, { samples: 1 })
    expect(groups).toMatchObject([
      {
        dataset: 'public.events',
        reason: 'type',
        count: 2,
        samples: [{ line: 1, column: 'ms', value: '"slow"', source: 'http', isWhole: true }],
      },
      { dataset: 'public.events', reason: 'column', count: 1 },
      { dataset: 'public.events', reason: 'json', count: 1 },
      { dataset: 'public.items', reason: 'type', count: 1 },
    ])
    expect(await letters().groups({ dataset: 'items' })).toHaveLength(1)
    expect(await letters().list({ reason: 'type' })).toHaveLength(3)
  })

  it('are explained: the row, everything that is wrong, what is allowed, what to do', async () => {
    await give('events', [{ time, userid: 'u', ms: 'slow' }])
    const [letter] = await letters().list()
    const explained = await letters().explain(letter!.id)
    expect(explained).toMatchObject({ row: { time, userid: 'u', ms: 'slow' }, canReplay: true })
    expect(explained.problems.map(({ column }) => column)).toEqual(['user_id', 'ms', 'userid'])
    expect(explained.allowed.join('\n')).toMatch(
      /"user_id" is text: .*never null[\s\S]*"ms" is int4: a whole number[\s\S]*"userid" is no column; public.events has time, id, user_id/,
    )
    expect(explained.todo).toContain('dead-letters fix')
    await expect(letters().explain('999999')).rejects.toMatchObject({ code: 'TM_QUERY' })
    await expect(letters().explain('x; drop table')).rejects.toMatchObject({ code: 'TM_QUERY' })
  })

  it('are corrected only when that is said, and then go in, each once', async () => {
    await give('events', [
      { time, userid: 'a', ms: 1 },
      { time, userid: 'b', ms: 'slow' },
      { time, user_id: 'c', ms: 'slow' },
    ])
    const rename = { rename: { userid: 'user_id' } }
    const all = { all: true }
    expect(await letters().fix(all, rename)).toMatchObject({
      isApplied: false,
      changed: 2,
      fits: 1,
      unchanged: 1,
    })
    expect(await letters().replay(all)).toMatchObject({ replayed: 0, rejected: { count: 3 } })
    const fixed = await letters().fix(all, rename, { apply: true })
    expect(fixed).toMatchObject({ isApplied: true, changed: 2, fits: 1, unchanged: 1, failed: {} })
    expect(fixed.samples[0]).toMatchObject({
      patch: [{ op: 'move', from: '/userid', path: '/user_id' }],
      row: { time, user_id: 'a', ms: 1 },
      problem: null,
    })
    expect(fixed.samples[1]!.problem).toContain('"ms"')
    expect(await letters().replay(all)).toMatchObject({ replayed: 1, inserted: 1, rejected: { count: 2 } })
    expect(await letters().fix(all, { set: { ms: 2 } }, { apply: true })).toMatchObject({
      changed: 2,
      fits: 2,
    })
    expect(await letters().replay({ dataset: 'events' })).toMatchObject({
      replayed: 2,
      rejected: { count: 0 },
    })
    expect(await letters().replay(all)).toMatchObject({ replayed: 0, inserted: 0 })
    expect((await stored('events')).map(({ user_id }) => user_id).sort()).toEqual(['a', 'b', 'c'])
    expect(await letters().list()).toEqual([])
  })

  it('that are refused again stay, with what is wrong now', async () => {
    await give('events', [{ time, userid: 'a', ms: 'slow' }])
    await letters().fix({ all: true }, { rename: { userid: 'user_id' } }, { apply: true })
    expect(await letters().list()).toMatchObject([{ column: 'ms', reason: 'type' }])
    const { rejected } = await letters().replay({ all: true })
    expect(rejected.letters).toMatchObject([{ column: 'ms', reason: 'type' }])
    expect(await letters().list()).toHaveLength(1)
  })

  it('of keys that exist follow the rule that is said', async () => {
    await give('items', [{ id: 1, note: 'first' }])
    await give('items', [{ id: 1, note: 'second' }])
    const [letter] = await letters().list()
    expect((await letters().explain(letter!.id)).todo).toContain('--on-conflict')
    expect(await letters().replay({ ids: [letter!.id] })).toMatchObject({
      replayed: 0,
      rejected: { count: 1 },
    })
    expect(await letters().replay({ ids: [letter!.id] }, { onConflict: 'update' })).toMatchObject({
      replayed: 1,
      updated: 1,
    })
    expect(await stored('items')).toEqual([{ id: 1, note: 'second' }])
  })

  it('whose event was written meanwhile are gone without a second row', async () => {
    await give('events', [{ ...good, id: 'e1', ms: 'slow' }])
    await give('events', [{ ...good, id: 'e1', ms: 3 }])
    await letters().fix({ all: true }, { set: { ms: 3 } }, { apply: true })
    expect(await letters().replay({ all: true })).toMatchObject({ replayed: 1, inserted: 0, duplicates: 1 })
    expect(await stored('events')).toHaveLength(1)
  })

  it('come back as they were: microseconds, wide numbers, JSON', async () => {
    const at = 1_772_359_200_123_456n
    await give('events', [{ time: at, user_id: 5, ms: 7, tags: { a: [1, null, 'ü'] } }])
    await letters().fix({ all: true }, { set: { user_id: 'u' } }, { apply: true })
    expect(await letters().replay({ all: true })).toMatchObject({ replayed: 1 })
    expect(await stored('events')).toEqual([
      { time: '2026-03-01T10:00:00.123456Z', id: null, user_id: 'u', ms: 7, tags: { a: [1, null, 'ü'] } },
    ])
  })

  it('without a row say why they cannot be replayed, and take one', async () => {
    await give('events', [{ ...good, tags: 'x'.repeat(120_000), nope: 1 }, 7])
    await engine.tm.keepStrays('line protocol', [
      {
        dataset: 'public.events',
        index: 0,
        column: null,
        value: null,
        reason: 'syntax',
        message: 'm',
        raw: 'cpu,host=a',
      },
    ])
    await engine.test.db.execute(`
      insert into tidemark.dead_letter (dataset, file, line, reason, message, raw)
      values ('public.gone', 'http', 0, 'type', 'm', '{}')`)
    const report = await letters().replay({ all: true })
    expect(report).toMatchObject({ replayed: 0, rejected: { count: 0 } })
    expect(Object.keys(report.unreadable).join('\n')).toMatch(
      /100,000 characters[\s\S]*is no row[\s\S]*line protocol[\s\S]*no dataset public.gone/,
    )
    const [long] = await letters().list()
    expect(await letters().explain(long!.id)).toMatchObject({ row: null, canReplay: false })
    const given = await letters().fix({ ids: [long!.id] }, { row: { ...good } }, { apply: true })
    expect(given).toMatchObject({ changed: 1, fits: 1 })
    expect(await letters().replay({ all: true })).toMatchObject({ replayed: 1, inserted: 1 })
  })

  it('are replayed by several at once, each once', async () => {
    const rows = Array.from({ length: 350 }, (_, ms) => ({ time, userid: 'u', ms }))
    await give('events', rows)
    await letters().fix({ all: true }, { rename: { userid: 'user_id' } }, { apply: true })
    const reports = await Promise.all([1, 2, 3].map(() => letters().replay({ all: true })))
    expect(reports.reduce((sum, { replayed }) => sum + replayed, 0)).toBe(350)
    expect(new Set((await stored('events')).map(({ ms }) => ms)).size).toBe(350)
    expect(await stored('events')).toHaveLength(350)
    expect(await letters().list()).toEqual([])
  })

  it('are neither fixed, replayed nor dropped by saying nothing', async () => {
    await give('items', [{ id: 'x' }])
    for (const call of [
      () => letters().replay({}),
      () => letters().drop({}),
      () => letters().fix({}, { drop: ['id'] }),
      () => letters().fix({ all: true }, {}),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'TM_QUERY' })
    expect(await letters().drop({ dataset: 'items', reason: 'type' })).toBe(1)
    expect(await letters().list()).toEqual([])
  })
})
