import { afterEach, beforeEach, expect, it } from 'vitest'
import { parseQuery, queryLimits, type WhereInput } from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant, type TimeRange } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { clearLog, readLog } from '../hot/create-test-hypertable.ts'
import { type ColdEngine, createColdEngine } from './cold-engine.ts'
import { count, day, epochOf, readings, samples, states } from './fixture.ts'

let engine: ColdEngine
beforeEach(async () => {
  engine = await createColdEngine(readings, samples)
})
afterEach(() => engine.close())

const clock = fixedClock(parseInstant('2026-01-15T12:00:00Z'))

function where(definition: HypertableDefinition, condition: WhereInput<never>) {
  return parseQuery({ where: condition }, { dataset: definition, clock, limits: queryLimits({}) }).where
}

function rangeOf(from: string, to: string): TimeRange {
  return { from: parseInstant(`${from}Z`), to: parseInstant(`${to}Z`) }
}

/** `sensor value` of every row. */
async function shown(definition: HypertableDefinition = readings): Promise<string[]> {
  return (await engine.rows(definition)).map(({ sensor, value }) => `${sensor} ${value}`).sort()
}

async function hot(definition: HypertableDefinition = readings): Promise<number> {
  return count(engine.test.db, definition.name)
}

it('an insert of a key that is in the lake is refused, with the words of PostgreSQL', async () => {
  const { writer, lifecycle, test } = engine
  await writer.insert(readings, day('2026-01-01'))
  const refusal = (await writer.insert(readings, day('2026-01-01', 1)).catch((error) => error)) as Error
  await lifecycle.freeze(readings)
  const epoch = await epochOf(test.db)
  const cold = (await writer
    .insert(readings, [...day('2026-01-02'), ...day('2026-01-01', 1)])
    .catch((e) => e)) as Error
  expect(cold).toMatchObject({ code: 'TM_DUPLICATE_KEY', message: refusal.message })
  expect(await shown()).toEqual(['s0 0', 's1 1', 's2 2'])
  expect(await epochOf(test.db)).toBe(epoch + 1n) // the chunk of January 2nd
})

it('an insert of other keys goes into the partition; with ignore those that are in the lake are left out', async () => {
  const { writer, lifecycle } = engine
  await writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  expect(await writer.insert(readings, day('2026-01-01', 2, 'late'))).toEqual({ inserted: 2, ignored: 0 })
  expect(
    await writer.insert(
      readings,
      [...day('2026-01-01', 4), ...day('2026-01-01', 3, 'late'), ...day('2026-01-03', 1)],
      { onConflict: 'ignore' },
    ),
  ).toEqual({ inserted: 3, ignored: 5 })
  expect(await hot()).toBe(5)
  expect((await engine.rows(readings)).length).toBe(8)
  await expect(writer.insert(readings, day('2026-01-01', 1, 'late'))).rejects.toMatchObject({
    code: 'TM_DUPLICATE_KEY',
  })
})

it('an upsert takes the rows back, and counts and logs them as any update', async () => {
  const { writer, lifecycle, test } = engine
  await writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  await clearLog(test.db)
  const epoch = await epochOf(test.db)
  const changed = day('2026-01-01', 2).map((row) => ({ ...row, value: row.value + 10 }))
  expect(await writer.upsert(readings, [...changed, ...day('2026-01-01', 1, 'new')])).toEqual({
    inserted: 1,
    updated: 2,
  })
  expect(await shown()).toEqual(['new0 0', 's0 10', 's1 11', 's2 2'])
  expect(await hot()).toBe(3)
  expect(await epochOf(test.db)).toBe(epoch + 1n)
  expect(new Set(await readLog(test.db, readings))).toEqual(new Set(['statement t1 01-01T00:00 01-01T01:00']))
  expect(await writer.upsert(readings, changed)).toEqual({ inserted: 0, updated: 2 })
  expect(await epochOf(test.db)).toBe(epoch + 1n)
  expect((await lifecycle.verify([readings])).problems).toEqual([])
  expect(await lifecycle.compact(readings)).toMatchObject({ rows: 4 })
  expect(await shown()).toEqual(['new0 0', 's0 10', 's1 11', 's2 2'])
})

it.each([readings, samples])(
  'updates and deletes find rows of $name in files and in PostgreSQL',
  async (definition) => {
    const { writer, lifecycle } = engine
    for (const date of ['2026-01-01', '2026-01-02', '2026-01-03']) await writer.insert(definition, day(date))
    await lifecycle.freeze(definition, { to: parseInstant('2026-01-03T00:00:00Z') })
    await writer.insert(definition, day('2026-01-02', 1, 'late'))
    expect(await states(engine.test.db)).toEqual(['cold 1', 'cold 1', 'hot 0'])
    expect(
      await writer.update(definition, {
        set: { value: 7 },
        where: where(definition, { sensor: { in: ['s1', 'late0'] } } as never),
        range: null,
      }),
    ).toEqual({ updated: 4 })
    expect(await hot(definition)).toBe(6)
    expect(
      await writer.delete(definition, {
        where: where(definition, { sensor: 's2' } as never),
        range: rangeOf('2026-01-02T00:00:00', '2026-01-04T00:00:00'),
      }),
    ).toEqual({ deleted: 2 })
    expect(await shown(definition)).toEqual([
      'late0 7',
      's0 0',
      's0 0',
      's0 0',
      's1 7',
      's1 7',
      's1 7',
      's2 2',
    ])
    expect(await writer.delete(definition, { where: null, range: null })).toEqual({ deleted: 8 })
    expect(await shown(definition)).toEqual([])
    expect((await lifecycle.verify([definition])).problems).toEqual([])
  },
)

it('a range that leaves out every cold chunk does not look into the lake', async () => {
  const { writer, lifecycle, files } = engine
  await writer.insert(readings, [...day('2026-01-01'), ...day('2026-01-03')])
  await lifecycle.freeze(readings, { to: parseInstant('2026-01-02T00:00:00Z') })
  let searches = 0
  const watching = engine.another({
    files: {
      ...files,
      matching(request) {
        searches += 1
        return files.matching(request)
      },
    },
  })
  const range = rangeOf('2026-01-03T00:00:00', '2026-01-04T00:00:00')
  expect(await watching.writer.delete(readings, { where: null, range })).toEqual({ deleted: 3 })
  // the end is open, so the statement locks the default partition
  expect(await watching.writer.delete(readings, { where: null, range: { ...range, to: 2n ** 62n } })).toEqual(
    { deleted: 0 },
  )
  expect(searches).toBe(0)
  expect(await shown()).toEqual(['s0 0', 's1 1', 's2 2'])
})

it('a row that is moved in time meets the keys of the cold chunk that it comes to', async () => {
  const { writer, lifecycle } = engine
  await writer.insert(readings, [...day('2026-01-01', 2), ...day('2026-01-03', 1)])
  await lifecycle.freeze(readings, { to: parseInstant('2026-01-02T00:00:00Z') })
  const move = (sensor: string, time: string) =>
    writer.update(readings, {
      set: { time: `${time}Z` },
      where: where(readings, { sensor } as never),
      range: rangeOf('2026-01-03T00:00:00', '2026-01-04T00:00:00'),
    })
  await expect(move('s0', '2026-01-01T00:00:00')).rejects.toMatchObject({ code: 'TM_DUPLICATE_KEY' })
  expect((await engine.rows(readings)).length).toBe(3)
  expect(await move('s0', '2026-01-01T00:05:00')).toEqual({ updated: 1 })
  expect((await engine.rows(readings)).map(({ time, sensor }) => `${time} ${sensor}`)).toEqual([
    '2026-01-01T00:00:00Z s0',
    '2026-01-01T00:01:00Z s1',
    '2026-01-01T00:05:00Z s0',
  ])
  // from the lake into the lake, and onto itself
  const all = { where: where(readings, { sensor: 's1' } as never), range: null }
  expect(await writer.update(readings, { set: { time: '2026-01-01T00:01:00Z' }, ...all })).toEqual({
    updated: 1,
  })
  await expect(
    writer.update(readings, { set: { sensor: 's0', time: '2026-01-01T00:00:00Z' }, ...all }),
  ).rejects.toMatchObject({
    code: 'TM_DUPLICATE_KEY',
  })
  expect((await engine.rows(readings)).length).toBe(3)
})

it('a cold chunk without a partition gets one where rows come to lie in it, and only there', async () => {
  const { test } = engine
  const { writer, lifecycle } = engine.another({ settings: { emptyShare: 0 } })
  await writer.insert(readings, [...day('2026-01-01'), ...day('2026-01-02', 3, 'x')])
  await lifecycle.freeze(readings)
  await expect
    .poll(() => lifecycle.reclaim(readings).then(() => states(test.db)), { timeout: 20_000 })
    .toEqual(['cold 1 -', 'cold 1 -'])
  await expect(writer.insert(readings, day('2026-01-01', 1))).rejects.toMatchObject({
    code: 'TM_DUPLICATE_KEY',
  })
  expect(
    await writer.delete(readings, { where: where(readings, { sensor: 'x1' } as never), range: null }),
  ).toEqual({ deleted: 1 })
  expect(await states(test.db)).toEqual(['cold 1', 'cold 1'])
  expect(await writer.upsert(readings, day('2026-01-02', 1, 'x'))).toEqual({ inserted: 0, updated: 1 })
  expect(await shown()).toEqual(['s0 0', 's1 1', 's2 2', 'x0 0', 'x2 2'])
  expect((await lifecycle.verify([readings])).problems).toEqual([])
})

it('a chunk of which most rows are touched is thawed', async () => {
  const { test } = engine
  const { writer, lifecycle } = engine.another({ settings: { liftAtLeast: 2 } })
  await writer.insert(readings, [...day('2026-01-01', 5), ...day('2026-01-02', 20)])
  await lifecycle.freeze(readings)
  expect(
    await writer.update(readings, {
      set: { value: -1 },
      where: where(readings, { value: { lt: 4 } } as never),
      range: null,
    }),
  ).toEqual({ updated: 8 })
  expect(await states(test.db)).toEqual(['hot 0', 'cold 1'])
  expect(await writer.upsert(readings, day('2026-01-02', 19))).toEqual({ inserted: 0, updated: 19 })
  expect(await states(test.db)).toEqual(['hot 0', 'hot 0'])
  expect((await engine.rows(readings)).length).toBe(25)
})

it('batches of any size look for their keys, some at a time', { timeout: 60_000 }, async () => {
  const { writer, lifecycle } = engine
  const many = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => ({
      time: parseInstant('2026-01-01T00:00:00Z') + BigInt((from + i) % 86_000) * 1_000_000n,
      tenant: 't1',
      sensor: `s${from + i}`,
      value: 1,
    }))
  await writer.insert(readings, many(0, 120_000))
  await lifecycle.freeze(readings)
  expect(await writer.insert(readings, many(50_000, 150_000), { onConflict: 'ignore' })).toEqual({
    inserted: 30_000,
    ignored: 70_000,
  })
  await expect(writer.insert(readings, many(119_999, 121_000))).rejects.toMatchObject({
    code: 'TM_DUPLICATE_KEY',
  })
  expect(await writer.upsert(readings, many(0, 20_000))).toEqual({ inserted: 0, updated: 20_000 })
  expect(await hot()).toBe(50_000)
  const { rows } = await engine.test.db.query(sql`
    select (select sum(row_count) from tidemark.lake_file)::int8, (select sum(cardinality(positions)) from tidemark.lake_deletion)::int8`)
  expect(rows).toEqual([[120_000n, 20_000n]])
  expect((await lifecycle.verify([readings])).problems).toEqual([])
})

const kinds = hypertable('public.kinds', {
  columns: {
    at: t.timestamptz(),
    id: t.uuid().defaultSql('gen_random_uuid()'),
    n: t.numeric(),
    f: t.float8(),
    on: t.date(),
    b: t.bool(),
    small: t.int2(),
    big: t.int8(),
    other: t.timestamptz(),
    note: t.text().nullable(),
    code: t.text().nullable(),
  },
  time: 'at',
  primaryKey: ['id', 'n', 'f', 'on', 'b', 'small', 'big', 'other', 'at'],
  indexes: [{ columns: ['code', 'at'], unique: true }],
  chunk: '1 day',
})

it('keys of every type are compared as PostgreSQL compares them, and so are other unique indexes', async () => {
  await engine.close()
  engine = await createColdEngine(kinds)
  const { writer, lifecycle } = engine
  const row = {
    at: '2026-01-01T00:00:00.123456Z',
    id: '0A0B0C0D-0000-4000-8000-000000000001',
    n: '1.50',
    f: -0,
    on: '2024-02-29',
    b: true,
    small: 3,
    big: '9007199254740993',
    other: 'infinity' as unknown,
    note: 'first' as string | null,
    code: 'a' as string | null,
  }
  row.other = '2300-01-01T00:00:00Z'
  await writer.insert(kinds, [
    row,
    { ...row, n: 'NaN', code: null },
    { ...row, n: '2', f: Number.NaN, code: null },
  ])
  await lifecycle.freeze(kinds)
  for (const same of [
    { ...row, code: 'x' },
    { ...row, n: '1.5', f: 0, code: 'x' },
    { ...row, n: 'NaN', code: 'x' },
    { ...row, n: '2.0', f: Number.NaN, code: 'x' },
    { ...row, n: '77' },
  ])
    await expect(writer.insert(kinds, [same]), JSON.stringify(same)).rejects.toMatchObject({
      code: 'TM_DUPLICATE_KEY',
    })
  for (const other of [
    { ...row, n: '1.51', code: null },
    { ...row, b: false, code: null },
    { ...row, big: '9007199254740992', code: null },
    { ...row, at: '2026-01-01T00:00:00.123457Z' },
  ])
    expect(await writer.insert(kinds, [other]), JSON.stringify(other)).toEqual({ inserted: 1, ignored: 0 })
  const { id: _, ...without } = row
  expect(await writer.insert(kinds, [{ ...without, code: 'z' }])).toEqual({ inserted: 1, ignored: 0 })
  expect(await writer.upsert(kinds, [{ ...row, n: '1.5', note: 'second' }])).toEqual({
    inserted: 0,
    updated: 1,
  })
  await expect(writer.upsert(kinds, [{ ...row, n: '5', note: 'third' }])).rejects.toMatchObject({
    code: 'TM_DUPLICATE_KEY',
  })
  expect((await engine.rows(kinds)).length).toBe(8)
  expect((await lifecycle.verify([kinds])).problems).toEqual([])
})

const noted = hypertable('noted', {
  columns: { time: t.timestamptz(), note: t.text().nullable() },
  time: 'time',
})

it('a process with an older declaration takes no row back: it would lose a column', async () => {
  const { writer, lifecycle, test } = engine
  await writer.insert(samples, day('2026-01-01'))
  await test.db.execute('alter table samples add column note text')
  const newer = {
    ...samples,
    columns: { ...samples.columns, note: noted.columns.note },
  } as HypertableDefinition
  await test.db.execute(`update samples set note = 'n' || sensor`)
  const one = (definition: HypertableDefinition) => ({
    where: where(definition, { sensor: 's1' }),
    range: null,
  })
  await lifecycle.freeze(newer)
  const lost = { code: 'TM_MIGRATION', message: expect.stringContaining('"note"') }
  await expect(writer.update(samples, { ...one(samples), set: { value: 9 } })).rejects.toMatchObject(lost)
  await expect(lifecycle.thaw(samples)).rejects.toMatchObject(lost)
  expect(await writer.update(newer, { ...one(newer), set: { value: 9 } })).toMatchObject({ updated: 1 })
  const notes = async () => (await engine.rows(newer)).map(({ note, value }) => `${note} ${value}`).sort()
  expect(await notes()).toEqual(['ns0 0', 'ns1 9', 'ns2 2'])
  // which the table has no longer
  await test.db.execute('alter table samples drop column note')
  expect(await writer.update(samples, { ...one(samples), set: { value: 8 } })).toMatchObject({ updated: 1 })
  await lifecycle.thaw(samples)
  expect(await shown(samples)).toEqual(['s0 0', 's1 8', 's2 2'])
})
