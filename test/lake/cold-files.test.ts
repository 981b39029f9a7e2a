import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createColdTier } from '../../src/lake/tier.ts'
import {
  type Answer,
  defaultQueryLimits,
  executeQuery,
  parseQuery,
  type Tier,
} from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { queryArbitrary } from '../helpers/random-query.ts'
import { everyType, paths, randomRows, start } from '../suites/tier-data.ts'
import { type ColdFixture, createColdFixture, type ListedFile } from './cold-fixture.ts'

type Row = Readonly<Record<string, unknown>>

const clock = fixedClock(start + 72n * 3_600_000_000n)

let fixture: ColdFixture
let tier: Tier
beforeEach(async () => {
  fixture = await createColdFixture()
  tier = createColdTier({ duckdb: fixture.duckdb, store: fixture.store })
})
afterEach(() => fixture.close())

function ask(
  dataset: HypertableDefinition,
  input: unknown,
  signal: AbortSignal | null = null,
  asked = tier,
): Promise<Answer> {
  return executeQuery(parseQuery(input, { dataset, clock }), {
    tiers: [asked],
    snapshot: fixture.snapshot(),
    clock,
    signal,
    limits: defaultQueryLimits,
  })
}

async function expectRight(
  dataset: HypertableDefinition,
  input: unknown,
  rows: readonly Row[],
): Promise<Answer> {
  const node = parseQuery(input, { dataset, clock })
  const answer = await ask(dataset, input)
  const shown = JSON.stringify(input, (_, v) => (typeof v === 'bigint' ? `${v}n` : v))
  expect(compareAnswers(answer, naiveAnswer(node, rows), node), shown).toEqual([])
  return answer
}

/** The ids of a file by place. */
async function idsIn(file: ListedFile): Promise<readonly number[]> {
  const path = await fixture.store.localFile(file.written.path, null)
  const { rows } = await fixture.duckdb.query(
    sql`select id from read_parquet(${raw(`'${path}'`)}, file_row_number = true) order by file_row_number`,
    null,
  )
  return rows.map(([id]) => id as number)
}

describe('files with rows that no longer count', () => {
  const seed = Math.floor(Math.random() * 2 ** 31)

  it(`answer random queries without them (seed ${seed})`, async () => {
    const rows: readonly Row[] = randomRows(seed, 300).map((row, id) => ({ ...row, id }))
    const files = await fixture.add(everyType, rows)
    const gone = new Set<number>()
    for (const [i, file] of files.entries()) {
      if (i === 1) continue
      const ids = await idsIn(file)
      for (const [place, id] of ids.entries())
        if ((id * 7919 + seed) % 3 === 0) {
          file.deleted.push(place)
          gone.add(id)
        }
    }
    expect(gone.size).toBeGreaterThan(50)
    const left = rows.filter((row) => !gone.has(row['id'] as number))
    await fc.assert(
      fc.asyncProperty(queryArbitrary({ dataset: everyType, rows, paths }), async (input) => {
        await expectRight(everyType, input, left)
      }),
      { seed, numRuns: 50 },
    )
    const { rows: paged } = await ask(everyType, { columns: ['id'], limit: 1000 })
    expect(new Set(paged.map((row) => row['id']))).toEqual(new Set(left.map((row) => row['id'])))
  }, 60_000)

  it('are not opened when none of their rows counts', async () => {
    const [file] = await fixture.add(
      everyType,
      randomRows(1, 20).map((row) => ({ ...row, time: start })),
    )
    file!.deleted = Array.from({ length: 20 }, (_, i) => i)
    const answer = await expectRight(everyType, { select: { n: { fn: 'count' } } }, [])
    expect(answer.plan.parts[0]).toMatchObject({ files: 0 })
    await expectRight(everyType, { latestBy: ['tag'] }, [])
  })
})

describe('files whose columns lie differently', () => {
  const numbers = hypertable('layouts.numbers', {
    columns: {
      time: t.timestamptz(),
      id: t.int4(),
      price: t.numeric().nullable(),
      seen: t.timestamptz().nullable(),
      doc: t.jsonb().nullable(),
      labels: t.textArray().nullable(),
    },
    time: 'time',
    orderBy: ['id', 'time'],
    chunk: '1 day',
  })
  const day = 86_400_000_000n
  const first = start - (start % day)
  const rows: Row[] = Array.from({ length: 60 }, (_, i) => {
    const chunk = i % 4
    return {
      time: first + BigInt(chunk) * day + BigInt(i) * 60_000_000n,
      id: i,
      // one scale, another scale, many scales, too many digits
      price:
        i % 9 === 0
          ? null
          : [`${i}.50`, `${i}.5000`, i % 8 < 4 ? `${i}.1` : `${i}.25`, `${'9'.repeat(30)}${i % 10}`][chunk],
      seen: i % 7 === 0 ? null : i % 11 === 0 ? 'infinity' : first + BigInt(i % 3),
      doc:
        chunk === 3
          ? null
          : [
              { plan: i % 2 ? 'pro' : 'free', score: i / 2 },
              { plan: i % 3 === 0 ? 7 : 'pro', score: i % 3, deep: { a: { b: i % 2 === 0 } } },
              { score: i % 2 ? 'high' : 2.5, deep: { a: 'x' } },
            ][chunk],
      labels: i % 5 === 0 ? null : ['a', i % 2 ? 'b' : null],
    }
  })
  const select = {
    n: { fn: 'count' },
    total: { fn: 'sum', column: 'price' },
    mean: { fn: 'avg', column: 'price' },
    top: { fn: 'max', column: 'price' },
    distinct: { fn: 'countDistinct', column: 'price' },
    last: { fn: 'last', column: 'price' },
    spread: { fn: 'stddev', column: 'price' },
    p50: { fn: 'percentile', column: 'price', q: 0.5 },
    score: { fn: 'sum', column: 'doc.score' },
    plans: { fn: 'uniques', column: 'doc.plan' },
  }
  const inputs: readonly unknown[] = [
    { select },
    { bucket: '12 hours', select },
    { by: ['price'], select: { n: { fn: 'count' } } },
    { by: ['doc.plan', 'doc.score'], select: { n: { fn: 'count' } } },
    { by: ['doc.deep'], select: { n: { fn: 'count' } } },
    { by: ['doc.deep.a'], select: { n: { fn: 'count' }, x: { fn: 'max', column: 'seen' } } },
    ...['1.5', '2.50', '10.1', '999999999999999999999999999999', '0'].flatMap((price) =>
      ['eq', 'ne', 'lt', 'gte'].map((operator) => ({
        where: { price: { [operator]: price } },
        select: { n: { fn: 'count' } },
      })),
    ),
    { where: { 'doc.deep': { not: null } }, columns: ['id', 'doc'] },
    { where: { 'doc.deep.a': 'x' }, select: { n: { fn: 'count' } } },
    { where: { 'doc.deep.a': { ne: 'x' } }, select: { n: { fn: 'count' } } },
    { where: { $or: [{ 'doc.plan': 'pro' }, { 'doc.score': { gt: 2 } }] }, select },
    {},
    { direction: 'desc', limit: 7 },
    { latestBy: ['price'] },
    { latestBy: ['labels'], columns: ['labels', 'doc'] },
  ]

  it('are read each in its way and put together', async () => {
    const files = await fixture.add(numbers, rows)
    expect(files.map(({ written }) => written.layout.columns['price']?.kind)).toEqual([
      'decimal',
      'decimal',
      'numericText',
      'decimal',
    ])
    for (const input of inputs) await expectRight(numbers, input, rows)
  }, 60_000)

  it('have null in a column that was declared later', async () => {
    const { columns, ...rest } = numbers
    const { price: _, labels: __, ...older } = columns
    const before = Object.freeze({ ...rest, columns: older }) as HypertableDefinition
    const old = rows.filter((row) => (row['time'] as bigint) < first + 2n * day)
    const young = rows.filter((row) => (row['time'] as bigint) >= first + 2n * day)
    await fixture.add(
      before,
      old.map(({ price: _price, labels: _labels, ...row }) => row),
    )
    await fixture.add(numbers, young)
    const held = [...old.map((row) => ({ ...row, price: null, labels: null })), ...young]
    for (const input of [
      ...inputs,
      { where: { price: null }, select: { n: { fn: 'count' } } },
      { where: { $not: { price: { gt: '5' } } }, select: { n: { fn: 'count' } } },
      { where: { labels: { contains: 'a' } }, select: { n: { fn: 'count' } } },
      { by: ['labels'], select: { n: { fn: 'count' } } },
    ])
      await expectRight(numbers, input, held)
  }, 60_000)
})

describe('instants that do not fit 64 bits since 1970', () => {
  const far = hypertable('far.events', {
    columns: { time: t.timestamptz(), id: t.int4(), seen: t.timestamptz().nullable() },
    time: 'time',
    orderBy: ['id', 'time'],
    chunk: '1 day',
  })
  const seen = [9_223_500_000_000_000_000n, 2n ** 63n - 1n, -(2n ** 63n), 0n, null]

  it('do not have their file left out where it is sorted by them', async () => {
    const sorted = hypertable('far.sorted', {
      columns: { time: t.timestamptz(), id: t.int4(), seen: t.timestamptz().nullable() },
      time: 'time',
      orderBy: ['seen'],
      chunk: '1 day',
    })
    await fixture.addCanonical(sorted, [[start, 0, 9_223_500_000_000_000_000n]])
    const node = parseQuery({}, { dataset: sorted, clock })
    if (node.kind !== 'rows') throw new Error('not a rows query')
    const ref = { column: 'seen', path: [] }
    const page = await tier.rows(
      {
        ...node,
        after: null,
        limit: 10,
        withKeys: true,
        where: { kind: 'compare', ref, operator: 'gt', value: 9_223_200_000_000_000_000n },
      },
      { snapshot: fixture.snapshot(), signal: null },
    )
    expect(page.rows).toHaveLength(1)
  })

  it('are compared, grouped and given as they are', async () => {
    const [file] = await fixture.addCanonical(
      far,
      seen.map((value, i) => [start + BigInt(i), i, value]),
    )
    expect(file!.written.layout.columns['seen']?.kind).toBe('wideInstant')
    const node = parseQuery({}, { dataset: far, clock })
    if (node.kind !== 'rows') throw new Error('not a rows query')
    const context = { snapshot: fixture.snapshot(), signal: null }
    const request = { ...node, after: null, limit: 10, withKeys: true }
    const page = await tier.rows(request, context)
    expect(page.rows.map((row) => row[2])).toEqual(seen)
    const later = await tier.rows(
      {
        ...request,
        where: { kind: 'compare', ref: { column: 'seen', path: [] }, operator: 'gt', value: 5n },
      },
      context,
    )
    expect(later.rows.map((row) => row[1])).toEqual([0, 1])
    const groups = await tier.scan(
      {
        dataset: far,
        range: null,
        bucket: null,
        by: [{ name: 'seen', ref: { column: 'seen', path: [] } }],
        where: null,
        states: [],
        maxCells: 10,
      },
      context,
    )
    expect(new Set(groups.cells.map(({ keys }) => keys[0]))).toEqual(new Set(seen))
  })
})

describe('JSON that DuckDB reads in another way', () => {
  const docs = hypertable('exact.docs', {
    columns: { time: t.timestamptz(), id: t.int4(), doc: t.jsonb() },
    time: 'time',
    orderBy: ['id', 'time'],
    chunk: '1 day',
  })
  const texts = [
    '{"a": 0.10000000000000000001}',
    '{"a": 1.50}',
    '{"a": 9007199254740993}',
    '{"a": 123456789012345678901234567890}',
    '{"a": {"b": [1, 2.50]}}',
    '{"a": "text"}',
    '{"a": [3]}',
  ]

  beforeEach(() =>
    fixture.addCanonical(
      docs,
      texts.map((text, i) => [start + BigInt(i), i, text]),
    ),
  )

  const ids = async (where: unknown): Promise<unknown[]> => {
    const { rows } = await ask(docs, { where, columns: ['id'] })
    return rows.map((row) => row['id'])
  }

  it('compares with all of its digits', async () => {
    expect(await ids({ 'doc.a': 0.1 })).toEqual([])
    expect(await ids({ 'doc.a': { gt: 0.1, lt: 1 } })).toEqual([0])
    expect(await ids({ 'doc.a': 1.5 })).toEqual([1])
    expect(await ids({ 'doc.a': { gt: 9007199254740992, lt: 9007199254740994 } })).toEqual([2])
    expect(await ids({ 'doc.a': { in: [1.5, 'text'] } })).toEqual([1, 5])
    expect(await ids({ 'doc.a.b.-1': { gt: 2 } })).toEqual([4])
    expect(await ids({ 'doc.a.0': 3 })).toEqual([6])
    expect(await ids({ 'doc.a. 0': 3 })).toEqual([6])
  })

  it('groups by the text that PostgreSQL gives', async () => {
    const { rows } = await ask(docs, { by: ['doc.a'], select: { n: { fn: 'count' } } })
    expect(rows.map((row) => row['doc.a'] ?? Object.values(row)[0]).sort()).toEqual(
      [
        '0.10000000000000000001',
        '1.50',
        '9007199254740993',
        '123456789012345678901234567890',
        '{"b": [1, 2.50]}',
        'text',
        '[3]',
      ].sort(),
    )
  })
})

describe('reading', () => {
  const cpu = hypertable('read.cpu', {
    columns: { time: t.timestamptz(), host: t.text(), usage: t.float8() },
    time: 'time',
    orderBy: ['host', 'time'],
    chunk: '1 hour',
  })
  const hour = 3_600_000_000n
  const row = (i: number, hours = 6): Row => ({
    time: start + (BigInt(i) * hour * BigInt(hours)) / 600n,
    host: `host_${i % 5}`,
    usage: i,
  })
  const rows = Array.from({ length: 600 }, (_, i) => row(i))

  it('opens only files that can hold a row', async () => {
    await fixture.add(cpu, rows)
    const opened = async (input: unknown): Promise<number> =>
      (await ask(cpu, input)).plan.parts.reduce((sum, part) => sum + (part.files ?? 0), 0)
    const select = { n: { fn: 'count' } }
    expect(await opened({ select })).toBe(6)
    expect(await opened({ select, from: start + hour, to: start + 2n * hour })).toBe(1)
    expect(await opened({ select, where: { host: 'nobody' } })).toBe(0)
    expect(await opened({ select, where: { host: { gt: 'host_4' } } })).toBe(0)
    expect(await opened({ limit: 10 })).toBe(1)
    expect(await opened({ limit: 10, direction: 'desc' })).toBe(1)
    expect(await opened({ latestBy: ['host'] })).toBe(1)
  })

  it('opens older files for a series that newer ones do not have', async () => {
    await fixture.add(cpu, [...rows, { time: start + 5n, host: 'gone', usage: 1 }])
    const answer = await expectRight(cpu, { latestBy: ['host'] }, [
      ...rows,
      { time: start + 5n, host: 'gone', usage: 1 },
    ])
    expect(answer.rows).toHaveLength(6)
  })

  it('ends a page before it takes more memory than it may, and goes on', async () => {
    const wide = Array.from({ length: 300 }, (_, i) => ({
      time: start + BigInt(i % 3),
      host: `${i}-${'x'.repeat(2000)}`,
      usage: i,
    }))
    await fixture.add(cpu, wide)
    const small = createColdTier({ duckdb: fixture.duckdb, store: fixture.store, maxPageBytes: 20_000 })
    const seen: unknown[] = []
    let cursor: string | null = null
    let pages = 0
    do {
      const answer: Answer = await executeQuery(
        parseQuery({ limit: 1000, cursor }, { dataset: cpu, clock }),
        {
          tiers: [small],
          snapshot: fixture.snapshot(),
          clock,
          signal: null,
          limits: defaultQueryLimits,
        },
      )
      expect(answer.rows.length).toBeLessThanOrEqual(12)
      seen.push(...answer.rows.map(({ usage }) => usage))
      cursor = answer.cursor
      pages++
    } while (cursor !== null)
    expect(pages).toBeGreaterThan(20)
    expect([...seen].sort((a, b) => (a as number) - (b as number))).toEqual(wide.map(({ usage }) => usage))
  })

  it('stops when its caller aborts, and can be asked again', async () => {
    await fixture.add(
      cpu,
      Array.from({ length: 20_000 }, (_, i) => row(i % 600)),
    )
    const query = {
      by: ['usage', 'host'],
      bucket: '1 second',
      select: { p: { fn: 'percentile', column: 'usage', q: 0.5 } },
    }
    // as soon as DuckDB has been given a statement, which it may not have begun
    const controller = new AbortController()
    const hasty = createColdTier({
      store: fixture.store,
      duckdb: {
        ...fixture.duckdb,
        withConnection: (signal, use) =>
          fixture.duckdb.withConnection(signal, (connection) => {
            const running = use(connection)
            controller.abort()
            return running
          }),
      },
    })
    const asked = ask(cpu, query, controller.signal, hasty)
    await expect(asked).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    expect((await ask(cpu, { select: { n: { fn: 'count' } } })).rows).toEqual([{ n: 20_000 }])
  })

  it('says which lake has a file that cannot be read', async () => {
    const [file] = await fixture.add(cpu, rows)
    await fixture.store.remove(file!.written.path)
    await expect(ask(cpu, { select: { n: { fn: 'count' } } })).rejects.toMatchObject({ code: 'TM_LAKE' })
  })

  it('takes texts of a filter as values, whatever they hold', async () => {
    const odd = [`o'k"; drop table x; --`, '$1', '%', '\\', `host[0-9]*.parquet`]
    const held = odd.map((host, i) => ({ time: start + BigInt(i), host, usage: i }))
    await fixture.add(cpu, held)
    for (const host of odd) await expectRight(cpu, { where: { host }, select: { n: { fn: 'count' } } }, held)
    await expectRight(cpu, { where: { host: { in: odd.slice(1) } }, columns: ['usage'] }, held)
  })
})
