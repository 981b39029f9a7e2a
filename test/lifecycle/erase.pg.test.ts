import { afterEach, beforeEach, expect, it } from 'vitest'
import { auditHypertable } from '../../src/changelog/index.ts'

import { parseQuery, queryLimits, type WhereInput } from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { clearLog, readLog } from '../hot/create-test-hypertable.ts'
import { type ColdEngine, createColdEngine } from './cold-engine.ts'
import { count, day, readings, samples, states } from './fixture.ts'

let engine: ColdEngine
beforeEach(async () => {
  engine = await createColdEngine(readings, samples)
})
afterEach(() => engine.close())

const clock = fixedClock(parseInstant('2026-01-15T12:00:00Z'))

function where(definition: HypertableDefinition, condition: WhereInput<never>) {
  return parseQuery({ where: condition }, { dataset: definition, clock, limits: queryLimits({}) }).where
}

function subject(definition: HypertableDefinition, sensor = 's1') {
  return { where: where(definition, { sensor } as never), range: null }
}

async function sensors(definition: HypertableDefinition): Promise<string[]> {
  return (await engine.rows(definition)).map(({ sensor }) => sensor as string).sort()
}

/** Every text that lies in a file of the store, whether somebody names the file or not. */
async function textsInStore(): Promise<Set<string>> {
  const texts = new Set<string>()
  for await (const { path } of engine.store.list('public.')) {
    if (!path.endsWith('.parquet')) continue
    const { rows } = await engine.duckdb.query(
      sql`select distinct sensor from read_parquet(${await engine.store.localFile(path, null)}::varchar)`,
      null,
    )
    for (const [text] of rows) texts.add(text as string)
  }
  return texts
}

it('erases in PostgreSQL, in files, among late rows and beside every chunk, and leaves nothing in the store', async () => {
  const { test, writer, lifecycle } = engine
  for (const date of ['2026-01-01', '2026-01-02', '2026-01-03']) await writer.insert(samples, day(date))
  await lifecycle.freeze(samples, { to: parseInstant('2026-01-03T00:00:00Z') })
  await writer.insert(samples, day('2026-01-02', 2))
  await test.db.execute(
    `insert into samples values ('2027-01-01', 't1', 's1', 1), ('2027-01-01', 't1', 's9', 1)`,
  )
  await clearLog(test.db)
  expect(await lifecycle.planErasure(samples, subject(samples))).toMatchObject({
    rowsHot: 3,
    rowsCold: 2,
    files: [{ rows: 1 }, { rows: 1 }],
    trash: 0,
  })
  expect(await count(test.db, 'tidemark.erasure')).toBe(0)
  const report = await lifecycle.erase(samples, subject(samples), { waitMs: 20_000 })
  expect(report).toMatchObject({ isResumed: false, rowsHot: 3, rowsCold: 2, waitsFor: null })
  expect(report.erasedAt).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  expect(report.files.length).toBe(2)
  expect(await sensors(samples)).toEqual(['s0', 's0', 's0', 's0', 's2', 's2', 's2', 's9'])
  expect(await textsInStore()).toEqual(new Set(['s0', 's2']))
  expect((await lifecycle.verify([samples])).problems).toEqual([])
  const { rows } = await test.db.query(sql`
    select rows_hot, rows_cold, hidden_at is not null, erased_at is not null, octet_length(condition_sha256), condition_sha256::text ~ 's1'
    from tidemark.erasure`)
  expect(rows).toEqual([[3n, 2n, true, true, 48, false]])
  const log = await readLog(test.db, samples)
  for (const date of ['01-01', '01-02', '01-03'])
    expect(
      log.some((line) => line.includes(`t1 ${date}T00:00 ${date}T01:00`)),
      date,
    ).toBe(true)
  // the next one of the same condition is one of its own
  expect(await lifecycle.erase(samples, subject(samples))).toMatchObject({
    isResumed: false,
    rowsHot: 0,
    rowsCold: 0,
  })
})

it('erases versions that were updated and deleted before, and what the trash holds', async () => {
  const { test, writer, lifecycle } = engine
  await writer.insert(readings, [...day('2026-01-01'), ...day('2026-01-02'), ...day('2026-01-03')])
  await lifecycle.freeze(readings)
  const at = (date: string) => ({
    where: where(readings, { sensor: 's1' } as never),
    range: { from: parseInstant(`${date}T00:00:00Z`), to: parseInstant(`${date}T12:00:00Z`) },
  })
  await writer.update(readings, { set: { sensor: 'renamed' }, ...at('2026-01-01') })
  await writer.delete(readings, at('2026-01-02'))
  await writer.delete(readings, at('2026-01-03'))
  await lifecycle.compact(readings, { from: parseInstant('2026-01-03T00:00:00Z') })
  expect(await textsInStore()).toContain('s1')
  const { rows: trash } = await test.db.query(
    sql`select count(*) from tidemark.lake_trash where path like '%.parquet'`,
  )
  expect(trash).toEqual([[1n]])
  const report = await lifecycle.erase(readings, subject(readings), { waitMs: 20_000 })
  expect(report).toMatchObject({ rowsHot: 0, rowsCold: 0, files: [{ rows: 1 }, { rows: 1 }], waitsFor: null })
  expect(await textsInStore()).toEqual(new Set(['s0', 's2', 'renamed']))
  expect(await count(test.db, 'tidemark.lake_trash')).toBe(0)
  expect(await sensors(readings)).toEqual(['renamed', 's0', 's0', 's0', 's2', 's2', 's2'])
})

it('a chunk of which nothing is left is hot and empty', async () => {
  const { test, writer, lifecycle } = engine
  await writer.insert(samples, day('2026-01-01'))
  await lifecycle.freeze(samples)
  const all = { where: where(samples, { tenant: 't1' } as never), range: null }
  const report = await lifecycle.erase(samples, all, { waitMs: 20_000 })
  expect(report).toMatchObject({ rowsCold: 3, files: [{ after: null, rows: 3 }] })
  expect(await states(test.db)).toEqual(['hot 0'])
  expect(await textsInStore()).toEqual(new Set())
})

it('append-only tables are erased from, and are append-only afterwards', async () => {
  await engine.close()
  const events = hypertable('public.events', {
    columns: { time: t.timestamptz(), tenant: t.text(), sensor: t.text(), value: t.float8().nullable() },
    time: 'time',
    chunk: '1 day',
    appendOnly: true,
  })
  engine = await createColdEngine(events)
  const { test, writer, lifecycle } = engine
  await test.db.execute(`
    create trigger tidemark_append_only before update or delete or truncate on events
    for each statement execute function tidemark.refuse_change('public.events')`)
  await writer.insert(events, day('2026-01-01'))
  await lifecycle.freeze(events)
  await writer.insert(events, [...day('2026-01-01'), ...day('2026-01-02')])
  expect(await lifecycle.erase(events, subject(events), { waitMs: 20_000 })).toMatchObject({
    rowsHot: 2,
    rowsCold: 1,
  })
  expect(await sensors(events)).toEqual(['s0', 's0', 's0', 's2', 's2', 's2'])
  await expect(test.db.execute('delete from events')).rejects.toMatchObject({ code: 'TM_DATABASE' })
})

it('an old snapshot keeps the old file and its rows; the record says so until it ends', async () => {
  const { test, writer, lifecycle } = engine
  await writer.insert(samples, day('2026-01-01'))
  await lifecycle.freeze(samples)
  const reader = await test.connect()
  await reader.execute('begin isolation level repeatable read; select 1')
  const report = await lifecycle.erase(samples, subject(samples))
  expect(report.erasedAt).toBe(null)
  expect(report.waitsFor).toMatch(/older snapshot/)
  expect(await sensors(samples)).toEqual(['s0', 's2'])
  expect(await textsInStore()).toContain('s1')
  await reader.execute('commit')
  await reader.close()
  await expect
    .poll(
      async () => {
        await lifecycle.sweep()
        return (await test.db.query(sql`select erased_at is not null from tidemark.erasure`)).rows
      },
      { timeout: 20_000 },
    )
    .toEqual([[true]])
  expect(await textsInStore()).toEqual(new Set(['s0', 's2']))
})

it('an erasure that was stopped anywhere goes on when it is called again', async () => {
  const { test, writer, lifecycle, files } = engine
  await writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-02'), ...day('2026-01-03')])
  await lifecycle.freeze(samples, { to: parseInstant('2026-01-03T00:00:00Z') })
  // each time one step further
  for (let steps = 0; steps < 40; steps += 1) {
    let left = steps
    const step = () => {
      left -= 1
      if (left < 0) throw new Error('killed')
    }
    const mortal = engine.another({
      files: {
        ...files,
        matching: (request) => {
          step()
          return files.matching(request)
        },
        async write(request) {
          step()
          const written = await files.write(request)
          step()
          return written
        },
      },
      settings: { leaseMs: 300, eraseGraceMs: 0 },
    })
    const outcome = await mortal.lifecycle.erase(samples, subject(samples)).catch((error) => error.message)
    if (outcome === 'killed') continue
    expect(outcome).toMatchObject({ isResumed: true, rowsHot: 1, rowsCold: 2 })
    break
  }
  const { lifecycle: last } = engine.another({ settings: { eraseGraceMs: 0 } })
  await expect
    .poll(
      async () => {
        await last.sweep()
        return (
          await test.db.query(sql`select rows_hot, rows_cold, erased_at is not null from tidemark.erasure`)
        ).rows
      },
      { timeout: 20_000 },
    )
    .toEqual([[1n, 2n, true]])
  expect(await textsInStore()).toEqual(new Set(['s0', 's2']))
  expect(await sensors(samples)).toEqual(['s0', 's0', 's0', 's2', 's2', 's2'])
  expect((await lifecycle.verify([samples])).problems).toEqual([])
})

it('movers and writers at the same time bring nothing back', { timeout: 60_000 }, async () => {
  const { writer, lifecycle } = engine
  await writer.insert(readings, [...day('2026-01-01', 20), ...day('2026-01-02', 20)])
  await lifecycle.freeze(readings)
  let isDone = false
  const busy = async (work: (n: number) => Promise<unknown>) => {
    for (let n = 0; !isDone; n += 1) {
      try {
        await work(n)
      } catch (error) {
        // it may be told that its file was taken for one that was left behind
        if (!/^TM_(BUSY|LAKE)$/.test((error as { code?: string }).code ?? '')) throw error
      }
    }
  }
  const other = engine.another()
  const moves = ['thaw', 'freeze', 'compact'] as const
  const moving = busy((n) => other.lifecycle[moves[n % 3]!](readings))
  const writing = busy((n) =>
    engine.another().writer.upsert(readings, [{ ...day('2026-01-01', 20)[2 + (n % 18)]!, value: n }]),
  )
  try {
    for (const sensor of ['s0', 's1']) {
      const report = await lifecycle.erase(readings, subject(readings, sensor))
      expect(report.rowsHot + report.rowsCold).toBe(2)
    }
  } finally {
    isDone = true
  }
  await Promise.all([moving, writing])
  expect(new Set(await sensors(readings))).toEqual(
    new Set(
      day('2026-01-01', 20)
        .slice(2)
        .map(({ sensor }) => sensor),
    ),
  )
  expect((await engine.rows(readings)).length).toBe(36)
  expect((await lifecycle.verify([readings])).problems).toEqual([])
})

it('dead letters and imports that hold the subject are reported, with the way to clear them', async () => {
  const { test, lifecycle } = engine
  await test.db.execute(`
    insert into tidemark.dead_letter (dataset, file, line, reason, message, raw) values
      ('public.samples', 'a.csv', 1, 'type', 'value is no number', 'alice@example.com,x'),
      ('public.samples', 'a.csv', 2, 'type', 'value is no number', 'bob@example.com,x'),
      ('public.readings', 'a.csv', 2, 'type', 'value is no number', 'alice@example.com,x')`)
  const { leftovers } = await lifecycle.erase(samples, subject(samples, 'Alice@example.com'))
  expect(leftovers).toEqual({
    deadLetters: {
      total: 2,
      naming: 1,
      clear: "delete from tidemark.dead_letter where dataset = 'public.samples'",
    },
    stagedImports: 0,
  })
  await test.db.execute(leftovers.deadLetters.clear!)
  expect(await count(test.db, 'tidemark.dead_letter')).toBe(1)
})

it('the audit of the change log does not take an erasure for an unlogged change', async () => {
  const { test, writer, lifecycle } = engine
  await writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-03')])
  await lifecycle.freeze(samples, { to: parseInstant('2026-01-02T00:00:00Z') })
  await auditHypertable(test.db, samples)
  await writer.update(samples, { set: { value: 3 }, ...subject(samples, 's0') })
  await lifecycle.erase(samples, subject(samples))
  expect((await auditHypertable(test.db, samples)).unlogged).toEqual([])
})

it('looks through each file once, and once more where it found something', async () => {
  const { writer, files, another } = engine
  for (const [date, prefix] of [
    ['2026-01-01', 's'],
    ['2026-01-02', 'x'],
    ['2026-01-03', 's'],
  ] as const)
    await writer.insert(samples, day(date, 3, prefix))
  const looks = new Map<string, number>()
  const { lifecycle } = another({
    files: {
      ...files,
      matching(request) {
        looks.set(request.file.path, (looks.get(request.file.path) ?? 0) + 1)
        return files.matching(request)
      },
    },
  })
  await lifecycle.freeze(samples)
  expect(await lifecycle.erase(samples, subject(samples))).toMatchObject({ rowsCold: 2 })
  // two with such a row, one without, and the two that took the place of the first
  expect([...looks.values()].sort()).toEqual([1, 1, 1, 2, 2])
})
