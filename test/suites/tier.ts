import { inspect } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type InputType, type InputValue, isInSlice, sliceEnd, states } from '../../src/aggregate/index.ts'
import {
  type Answer,
  type Cell,
  canonicalKey,
  compareNewest,
  compareRowKeys,
  defaultQueryLimits,
  everything,
  executeQuery,
  newestKeys,
  parseQuery,
  type QueryLimits,
  queryLimits,
  type ReadSnapshot,
  type RowPosition,
  type RowsRequest,
  type RowsResult,
  rowOrder,
  type ScanRequest,
  type Tier,
} from '../../src/query/index.ts'
import type { DatasetDefinition } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { type NaiveRow, normalRow } from '../helpers/naive-values.ts'
import { queryArbitrary } from '../helpers/random-query.ts'
import { createRowKeys } from '../helpers/row-keys.ts'
import {
  everyType,
  fixedRows,
  identicalRows,
  keyedRows,
  keyedTable,
  paths,
  plainRows,
  plainTable,
  randomRows,
  start,
} from './tier-data.ts'

type Row = Readonly<Record<string, unknown>>

/** A tier that holds exactly the rows that it was set up with. */
export interface TierUnderTest {
  readonly tier: Tier
  /** Lends one snapshot; the tier is only asked inside of it. */
  withSnapshot<T>(use: (snapshot: ReadSnapshot) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Makes the dataset and fills it. Rows are in forms that insert takes. */
export type TierSetup = (dataset: DatasetDefinition, rows: readonly Row[]) => Promise<TierUnderTest>

export interface TierSuiteOptions {
  /** Random queries. Default 60: several tiers run the suite, each run draws other ones. */
  readonly randomQueries?: number
  /** Default: another one each time; it is part of the test's name. */
  readonly seed?: number
  /** False: it holds rows of hypertables only. Default true. */
  readonly plainTables?: boolean
}

/**
 * What every tier must do, whatever it is made of. Each answer is compared with the oracle's.
 *
 * @example
 * tierSuite('in memory', async (dataset, rows) => ({ tier: createMemoryTier({ dataset, rows }), … }))
 */
export function tierSuite(name: string, setup: TierSetup, options: TierSuiteOptions = {}): void {
  const clock = fixedClock(start + 72n * 3_600_000_000n)

  interface Bench {
    ask(input: unknown, limits?: QueryLimits): Promise<Answer>
    /** Differences from the oracle. */
    differences(input: unknown): Promise<readonly string[]>
    readonly dataset: DatasetDefinition
    readonly rows: readonly Row[]
    readonly under: TierUnderTest
  }

  function bench(dataset: DatasetDefinition, rows: readonly Row[]): { get: () => Bench } {
    let made: Bench | null = null
    beforeAll(async () => {
      const under = await setup(dataset, rows)
      const ask = (input: unknown, limits = defaultQueryLimits): Promise<Answer> =>
        under.withSnapshot((snapshot) =>
          executeQuery(parseQuery(input, { dataset, clock, limits }), {
            tiers: [under.tier],
            snapshot,
            clock,
            signal: null,
            limits,
          }),
        )
      made = {
        under,
        dataset,
        rows,
        ask,
        async differences(input) {
          const node = parseQuery(input, { dataset, clock })
          return compareAnswers(await ask(input), naiveAnswer(node, rows), node)
        },
      }
    })
    afterAll(async () => made?.under.close())
    return {
      get: () => {
        if (!made) throw new Error('the tier could not be set up')
        return made
      },
    }
  }

  async function expectRight(b: Bench, inputs: readonly unknown[]): Promise<void> {
    for (const input of inputs) {
      const differences = await b.differences(input)
      expect(differences, `of the answer to ${showInput(input)}`).toEqual([])
    }
  }

  const count = { fn: 'count' }
  const counting = (where: unknown): unknown => ({
    where,
    select: { n: count, ids: { fn: 'sum', column: 'id' } },
  })

  describe(`tier: ${name}`, () => {
    describe('fixed rows of every type', () => {
      const b = bench(everyType, fixedRows())

      it('compares every type as PostgreSQL does', async () => {
        const values: Record<string, readonly unknown[]> = {
          time: [start, start - 1n, '2026-03-29T00:00:00Z'],
          tag: ['', 'a', 'A', 'a%b', 'e\u0301', '\u{1F600}', '\uFFFD', "o'clock", 'a\\b'],
          device: ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'],
          ok: [true, false],
          small: [0, -32_768],
          whole: [7, 2_147_483_647],
          big: [0, 9007199254740993n, '9223372036854775807'],
          single: [0, 0.5, Number.NaN, Infinity],
          value: [0, -0, 0.1, 1e308, 'NaN', '-Infinity', 5e-324],
          price: ['1', 1.5, '123456789012345678901234567890.123456789', 'NaN', 0],
          fee: ['12.5', 0.1],
          day: ['2026-03-29', 'infinity', '1969-12-31'],
          seen: [start + 1n, 'infinity', '-infinity', '1999-12-31T23:59:59.999999Z'],
        }
        for (const [column, list] of Object.entries(values))
          for (const value of list) {
            await expectRight(
              b.get(),
              ['eq', 'ne', 'lt', 'lte', 'gt', 'gte'].map((operator) =>
                counting({ [column]: { [operator]: value } }),
              ),
            )
          }
      })

      it('finds lists of values, nulls, and what is not in a list', async () => {
        await expectRight(b.get(), [
          counting({ tag: { in: ['a', '\u{1F600}', 'absent'] } }),
          counting({ tag: { in: [] } }),
          counting({ note: { in: [] } }),
          counting({ note: { notIn: [] } }),
          counting({ note: { notIn: ['a', ''] } }),
          counting({ big: { in: [0n, -1n, 9007199254740993n] } }),
          counting({ value: { in: [0, Number.NaN, 0.1] } }),
          counting({ price: { in: ['1', 'NaN', '0'] } }),
          counting({ device: { notIn: ['00000000-0000-0000-0000-000000000000'] } }),
          counting({ day: { in: ['2000-02-29', 'infinity'] } }),
          counting({ seen: { in: [start, 'infinity'] } }),
          counting({ ok: { in: [true] } }),
          counting({ note: null }),
          counting({ note: { not: null } }),
          counting({ properties: null }),
          counting({ labels: null }),
        ])
      })

      it('matches patterns with escapes, any text and single characters', async () => {
        const patterns = [
          '',
          '%',
          '_',
          '__',
          'a%',
          '%b',
          'a\\%b',
          'a\\_b',
          'a\\\\b',
          '%\n',
          "%'%",
          '\u{1F600}',
          '_\u0301',
          'A%',
          '% %',
          '%%_%',
        ]
        await expectRight(
          b.get(),
          patterns.flatMap((like) => [counting({ tag: { like } }), counting({ note: { not: { like } } })]),
        )
        await expectRight(
          b.get(),
          ['A', 'a%', "O\\'CLOCK", '%B'].map((ilike) => counting({ tag: { ilike } })),
        )
      })

      it('follows three-valued logic', async () => {
        await expectRight(b.get(), [
          counting({ $not: { whole: 7 } }),
          counting({ $or: [{ whole: 7 }, { note: null }] }),
          counting({ $and: [{ $not: { ok: true } }, { $not: { ok: false } }] }),
          counting({ $not: { $or: [{ ok: true }, { big: { gt: 0 } }] } }),
          counting({ $not: { $and: [{ ok: true }, { big: { gt: 0 } }] } }),
          counting({ $or: [{ $not: { value: { gt: 0 } } }, { labels: { contains: 'a' } }] }),
          counting({ $or: [{}, { whole: 7 }] }),
          counting({ $not: {} }),
          counting({ whole: { gte: -1, lt: 8, ne: 0 } }),
          counting({ $not: { labels: { contains: 'a' } } }),
          counting({ labels: { contains: '\u{1F600}' } }),
          counting({ labels: { contains: '' } }),
          counting({ $not: { note: { like: 'a%' } } }),
        ])
      })

      it('compares JSON values by their own type', async () => {
        const conditions: unknown[] = []
        for (const path of [...paths, 'properties.deep', 'properties.a\\.b.c', 'properties.missing'])
          for (const value of ['pro', '', 1, 7, 2.5, true, false, 'y', 2, 'dotted', '\u{1F600}'])
            for (const operator of ['eq', 'ne', 'lt', 'gte'])
              conditions.push({ [path]: { [operator]: value } })
        for (const path of paths)
          conditions.push(
            { [path]: null },
            { [path]: { not: null } },
            { [path]: { in: ['pro', 7, true, 2.5] } },
            { [path]: { notIn: ['pro', 1] } },
            { [path]: { like: '%' } },
            { [path]: { like: 'p_o' } },
            { [path]: { not: { like: 'p%' } } },
            { $not: { [path]: { gt: 1 } } },
          )
        await expectRight(b.get(), conditions.map(counting))
      })

      it('keeps every row on its side of the range and of the buckets', async () => {
        const select = { n: count, first: { fn: 'first', column: 'id' }, last: { fn: 'last', column: 'id' } }
        await expectRight(b.get(), [
          { from: start, select },
          { to: start, select },
          { from: start - 1n, to: start + 1n, select },
          { from: start, to: start + 1n, select },
          { from: start + 43_200_000_000n, to: start + 129_600_000_000n, bucket: '12 hours', select },
          { from: '1950-01-01', to: '1951-01-01', select },
          { from: '1950-01-01', to: '1951-01-01', bucket: '1 day', select },
        ])
      })

      it('puts rows into buckets of every kind, in UTC and across a change of the clock', async () => {
        const select = { n: count, last: { fn: 'last', column: 'id' } }
        const plain = [
          '1 second',
          '90 seconds',
          '15 minutes',
          '1 hour',
          '7 hours',
          '1 day',
          '2 days',
          '1 week',
          '1 month',
          '1 quarter',
          '1 year',
        ]
        await expectRight(
          b.get(),
          plain.map((bucket) => ({ bucket, select })),
        )
        for (const zone of [
          'Europe/Berlin',
          'America/New_York',
          'Australia/Lord_Howe',
          'Asia/Kolkata',
          'UTC',
        ])
          await expectRight(
            b.get(),
            ['15 minutes', '1 hour', '6 hours', '1 day', '1 week', '1 month'].map((bucket) => ({
              bucket,
              zone,
              select,
            })),
          )
      })

      it('groups by every type, with one group for equal values', async () => {
        const columns = [
          'tag',
          'note',
          'device',
          'ok',
          'small',
          'whole',
          'big',
          'single',
          'value',
          'price',
          'fee',
          'day',
          'seen',
          'labels',
          ...paths,
        ]
        await expectRight(
          b.get(),
          columns.map((column) => ({ by: [column], select: { n: count, ids: { fn: 'sum', column: 'id' } } })),
        )
        await expectRight(b.get(), [
          { by: ['ok', 'note'], select: { n: count } },
          { by: ['value', 'price', 'labels'], bucket: '1 day', select: { n: count } },
        ])
      })

      it('computes every aggregate of every type', async () => {
        const number = [
          'count',
          'sum',
          'avg',
          'min',
          'max',
          'first',
          'last',
          'stddev',
          'variance',
          'uniques',
          'countDistinct',
        ]
        const ordered = ['count', 'min', 'max', 'first', 'last', 'uniques', 'countDistinct']
        const functions: Record<string, readonly string[]> = {
          tag: ordered,
          note: ordered,
          device: ordered,
          ok: ordered,
          day: ordered,
          seen: ordered,
          time: ordered,
          small: number,
          whole: number,
          big: number,
          single: number,
          value: number,
          price: number,
          fee: number,
          labels: ['count'],
        }
        for (const path of paths) functions[path] = number
        for (const [column, names] of Object.entries(functions)) {
          const select = Object.fromEntries(names.map((fn) => [fn, { fn, column }]))
          await expectRight(b.get(), [
            { select },
            { select, by: ['ok'] },
            { select, bucket: '6 hours', where: { id: { lt: 1000 } } },
          ])
        }
      })

      it('computes percentiles and histograms of numbers', async () => {
        for (const column of ['small', 'whole', 'big', 'single', 'value', 'price', 'properties.score']) {
          const select = {
            low: { fn: 'percentile', column, q: 0 },
            middle: { fn: 'percentile', column, q: 0.5 },
            p95: { fn: 'percentile', column, q: 0.95 },
            high: { fn: 'percentile', column, q: 1 },
            bars: { fn: 'histogram', column, borders: [-1.5, 0, 0.1, 1e9] },
          }
          await expectRight(b.get(), [{ select }, { select, by: ['ok'] }, { select, bucket: '1 day' }])
        }
      })

      it('filters single aggregates without losing their groups', async () => {
        const where = { value: { gt: 0 } }
        await expectRight(b.get(), [
          {
            by: ['ok'],
            bucket: '12 hours',
            select: {
              n: count,
              some: { fn: 'count', where },
              none: { fn: 'count', where: { id: -1 } },
              total: { fn: 'sum', column: 'whole', where },
              distinct: { fn: 'countDistinct', column: 'tag', where },
              users: { fn: 'uniques', column: 'tag', where },
              p50: { fn: 'percentile', column: 'value', q: 0.5, where },
              latest: { fn: 'last', column: 'tag', where },
              bars: { fn: 'histogram', column: 'value', borders: [0, 1], where },
            },
          },
        ])
      })

      it('answers nothing with nothing, and an empty whole with one row', async () => {
        const select = {
          n: count,
          total: { fn: 'sum', column: 'value' },
          p: { fn: 'percentile', column: 'value', q: 0.5 },
          d: { fn: 'countDistinct', column: 'tag' },
        }
        const where = { id: -1 }
        await expectRight(b.get(), [
          { where, select },
          { where, select, by: ['tag'] },
          { where, select, bucket: '1 hour' },
          { where, latestBy: ['tag'] },
          { where },
        ])
        expect((await b.get().ask({ where, select })).rows).toEqual([{ n: 0, total: null, p: null, d: 0 }])
      })

      it('orders, limits and fills', async () => {
        const select = { n: count, total: { fn: 'sum', column: 'whole' }, top: { fn: 'max', column: 'tag' } }
        const range = { from: start, to: start + 129_600_000_000n }
        await expectRight(b.get(), [
          { bucket: '3 hours', select, order: ['-bucket'], limit: 3 },
          { bucket: '3 hours', select, limit: 3 },
          { bucket: '3 hours', by: ['ok'], select, order: ['-bucket', '-n'], limit: 4 },
          { bucket: '3 hours', select, order: ['-bucket'], limit: 2, having: { n: { gt: 1 } } },
          { bucket: '1 day', zone: 'Europe/Berlin', select, order: ['-bucket'], limit: 2 },
          { by: ['note'], select, order: ['-total', 'note'], limit: 5 },
          { by: ['note'], select, order: ['-top'], limit: 5 },
          { ...range, bucket: '1 hour', by: ['ok'], select, fill: 'null' },
          { ...range, bucket: '1 hour', by: ['ok'], select, fill: 'previous' },
          {
            bucket: '1 hour',
            select: { n: count, mean: { fn: 'avg', column: 'id' } },
            fill: 'linear',
            ...range,
          },
          { bucket: '1 hour', select: { n: count }, fill: { constant: 0 }, ...range },
          { bucket: '1 hour', select: { n: count }, fill: 'null', from: '2020-01-01', to: '2020-01-02' },
        ])
      })

      it('gives rows with every type unchanged, in both directions', async () => {
        await expectRight(b.get(), [
          {},
          { direction: 'desc' },
          { columns: ['value', 'id'], direction: 'desc', limit: 7 },
          {
            columns: ['time', 'seen', 'day', 'price', 'fee', 'big', 'labels', 'properties'],
            where: { ok: true },
          },
          { from: start, to: start + 3_600_000_000n },
        ])
      })

      it('pages through rows without losing or doubling one, whatever the page', async () => {
        const { ask, rows } = b.get()
        for (const direction of ['asc', 'desc'])
          for (const limit of [1, 2, 5, 100]) {
            const ids: unknown[] = []
            const times: string[] = []
            let cursor: string | null = null
            do {
              const page: Answer = await ask({ columns: ['id', 'time'], direction, limit, cursor })
              expect(page.rows.length).toBeLessThanOrEqual(limit)
              for (const row of page.rows) {
                ids.push(row['id'])
                times.push(row['time'] as string)
              }
              cursor = page.cursor
            } while (cursor !== null)
            expect([...ids].sort()).toEqual(rows.map((row) => row['id']).sort())
            const sorted = [...times].sort((x, y) =>
              instantOf(x) < instantOf(y) ? -1 : instantOf(x) > instantOf(y) ? 1 : 0,
            )
            expect(times).toEqual(direction === 'asc' ? sorted : sorted.reverse())
          }
      })

      it('pages through filtered rows of a range', async () => {
        const { ask } = b.get()
        const input = {
          where: { id: { lt: 1000 }, ok: { ne: true } },
          from: start,
          to: start + 180_000_000_000n,
          columns: ['id'],
        }
        const whole = await ask(input)
        const paged: unknown[] = []
        let cursor: string | null = null
        do {
          const page: Answer = await ask({ ...input, limit: 2, cursor })
          paged.push(...page.rows.map((row) => row['id']))
          cursor = page.cursor
        } while (cursor !== null)
        expect(paged).toEqual(whole.rows.map((row) => row['id']))
        expect(paged.length).toBeGreaterThan(2)
      })

      it('gives the newest row of each series', async () => {
        await expectRight(b.get(), [
          { latestBy: ['tag'] },
          { latestBy: ['note'] },
          { latestBy: ['ok', 'device'] },
          { latestBy: ['big'], columns: ['id'] },
          { latestBy: ['price'], columns: ['price', 'time'] },
          { latestBy: ['tag'], where: { value: { not: null } }, columns: ['tag', 'value'] },
          { latestBy: ['tag'], to: start + 50_000_000_000n },
          { latestBy: ['tag'], from: start + 50_000_000_000n, columns: ['time', 'tag'] },
          { latestBy: [], columns: ['time'] },
        ])
      })

      it('says where it has rows, and keeps within the asked range', async () => {
        const { under, rows } = b.get()
        await under.withSnapshot(async (snapshot) => {
          const context = { snapshot, signal: null }
          const isIn = (time: bigint, range: { from: bigint; to: bigint }): boolean =>
            time >= range.from && time < range.to
          for (const range of [
            null,
            { from: start, to: start + 86_400_000_000n },
            { from: everything.from, to: start },
          ]) {
            const coverage = await under.tier.coverage(everyType, range, context)
            const asked = range ?? everything
            coverage.forEach(({ range: covered }, i) => {
              expect(covered.from).toBeLessThan(covered.to)
              expect(covered.from).toBeGreaterThanOrEqual(asked.from)
              expect(covered.to).toBeLessThanOrEqual(asked.to)
              const before = coverage[i - 1]
              if (before) expect(before.range.to).toBeLessThanOrEqual(covered.from)
            })
            for (const row of rows) {
              const time = row['time'] as bigint
              if (!isIn(time, asked)) continue
              expect(coverage.some((stretch) => isIn(time, stretch.range))).toBe(true)
            }
          }
        })
      })

      it('has bounds around every matching row', async () => {
        const { under, rows } = b.get()
        const node = parseQuery({ where: { ok: true, id: { lt: 1000 } } }, { dataset: everyType, clock })
        await under.withSnapshot(async (snapshot) => {
          const context = { snapshot, signal: null }
          const ranges = [null, everything, { from: start + 10_000_000_000n, to: start + 90_000_000_000n }]
          for (const range of ranges)
            for (const where of [null, node.where]) {
              const bounds = await under.tier.bounds(everyType, range, where, context)
              const asked = range ?? everything
              const times = rows
                .filter((row) => where === null || (row['ok'] === true && (row['id'] as number) < 1000))
                .map((row) => row['time'] as bigint)
                .filter((time) => time >= asked.from && time < asked.to)
              expect(times.length).toBeGreaterThan(0)
              for (const time of times) {
                expect(time).toBeGreaterThanOrEqual(bounds!.from)
                expect(time).toBeLessThan(bounds!.to)
              }
            }
          const empty = { from: start + 10n ** 15n, to: start + 2n * 10n ** 15n }
          const bounds = await under.tier.bounds(everyType, empty, null, context)
          if (bounds) {
            expect(bounds.from).toBeGreaterThanOrEqual(empty.from)
            expect(bounds.to).toBeLessThanOrEqual(empty.to)
          }
        })
      })

      it('refuses one cell more than it may have, and none less', async () => {
        const { under } = b.get()
        const node = parseQuery({ by: ['id'], select: { n: count } }, { dataset: everyType, clock })
        if (node.kind !== 'aggregate') throw new Error('not an aggregate query')
        const ids = new Set(fixedRows().map((row) => row['id'])).size
        const request: ScanRequest = {
          dataset: everyType,
          range: everything,
          bucket: null,
          by: node.by,
          where: null,
          states: [{ spec: { kind: 'count', input: null, borders: null }, ref: null, where: null }],
          maxCells: ids,
        }
        await under.withSnapshot(async (snapshot) => {
          const context = { snapshot, signal: null }
          expect((await under.tier.scan(request, context)).cells.length).toBe(ids)
        })
        await expect(
          under.withSnapshot((snapshot) =>
            under.tier.scan({ ...request, maxCells: ids - 1 }, { snapshot, signal: null }),
          ),
        ).rejects.toMatchObject({ code: 'TM_LIMIT' })
        await expect(
          b
            .get()
            .ask(
              { by: ['id'], select: { d: { fn: 'uniques', column: 'tag' } } },
              queryLimits({ maxCells: ids - 1 }),
            ),
        ).rejects.toMatchObject({ code: 'TM_LIMIT' })
      })

      it('gives the cells of a part of all keys, the same part as every other tier', async () => {
        const { under } = b.get()
        const shown = ({ keys, states: held }: Cell): string =>
          `${inspect(keys)} ${held.map((state, i) => Buffer.from(states[i === 0 ? 'count' : 'hll'].encode(state)).toString('hex'))}`
        const columns = [
          'tag',
          'device',
          'ok',
          'small',
          'whole',
          'big',
          'single',
          'value',
          'price',
          'fee',
          'day',
          'seen',
        ]
        const cuts = [0, 2 ** 30, 2 ** 31 + 12_345, sliceEnd]
        for (const by of [...columns, ...paths]
          .map((column) => [column])
          .concat([['tag', 'value', 'labels', 'note']])) {
          const node = parseQuery({ by, select: { n: count } }, { dataset: everyType, clock })
          if (node.kind !== 'aggregate') throw new Error('not an aggregate query')
          const counted = {
            spec: { kind: 'count', input: null, borders: null },
            ref: null,
            where: null,
          } as const
          const distinct = {
            spec: { kind: 'hll', input: 'int4', borders: null },
            ref: { column: 'id', path: [] },
            where: null,
          } as const
          const request: ScanRequest = {
            ...{ dataset: everyType, range: everything, bucket: null, by: node.by, where: null },
            states: [counted, distinct],
            maxCells: 10_000,
          }
          const types = node.by.map(({ ref }): InputType => {
            const { type } = (everyType as DatasetDefinition).columns[ref.column]!
            return type === 'jsonb' ? 'text' : type
          })
          const scan = (more: Partial<ScanRequest>) =>
            under.withSnapshot(async (snapshot) => {
              const { cells } = await under.tier.scan({ ...request, ...more }, { snapshot, signal: null })
              return cells.map((cell) => shown(cell)).sort()
            })
          const all = await under.withSnapshot(
            async (snapshot) => (await under.tier.scan(request, { snapshot, signal: null })).cells,
          )
          for (const [i, from] of cuts.slice(0, -1).entries()) {
            const slice = { from, to: cuts[i + 1]! }
            const expected = all.filter(({ keys }) => isInSlice(types, keys as (InputValue | null)[], slice))
            // as many as there are fit, so that others are not even counted
            const found = await scan({ slice, maxCells: Math.max(1, expected.length) })
            expect(found, `of ${by}`).toEqual(expected.map((cell) => shown(cell)).sort())
          }
        }
      })

      it('stops when its caller aborts', async () => {
        const { under } = b.get()
        for (const input of [{ select: { n: count } }, {}, { latestBy: ['tag'] }]) {
          const node = parseQuery(input, { dataset: everyType, clock })
          const run = (controller: AbortController, abort: () => void): Promise<unknown> =>
            under.withSnapshot((snapshot) => {
              const running = executeQuery(node, {
                tiers: [under.tier],
                snapshot,
                clock,
                signal: controller.signal,
                limits: defaultQueryLimits,
              })
              abort()
              return running
            })
          const before = new AbortController()
          before.abort()
          await expect(run(before, () => {})).rejects.toMatchObject({ code: 'TM_CANCELLED' })
          const during = new AbortController()
          await expect(run(during, () => during.abort())).rejects.toMatchObject({ code: 'TM_CANCELLED' })
        }
      })

      it('refuses a cursor that is not its own', async () => {
        const { ask } = b.get()
        const { cursor } = await ask({ columns: ['id'], limit: 1 })
        expect(cursor).not.toBeNull()
        for (const wrong of ['x', `${cursor}A`, (cursor as string).slice(0, -4)])
          await expect(ask({ columns: ['id'], limit: 1, cursor: wrong })).rejects.toMatchObject({
            code: 'TM_QUERY',
          })
        await expect(ask({ columns: ['id'], limit: 1, cursor, direction: 'desc' })).rejects.toMatchObject({
          code: 'TM_QUERY',
        })
      })
    })

    for (const [what, dataset, made] of [
      ['of every type', everyType, fixedRows],
      ['with a key', keyedTable, keyedRows],
      ['that are identical', everyType, identicalRows],
    ] as const)
      describe(`rows ${what}, merged with those of others`, () => {
        const b = bench(dataset, made())
        const order = rowOrder(dataset)
        const ascending = compareRowKeys(order)
        const { keysOf, newestKeysOf } = createRowKeys(dataset)
        const naive = (): readonly NaiveRow[] => b.get().rows.map((row) => normalRow(dataset, row))
        const columns = Object.keys(dataset.columns)
        const shown = (value: unknown): string => inspect(value, { depth: 9, breakLength: Infinity })
        const keysAsShown = (keys: readonly unknown[]): string =>
          shown(
            order.keys.map((key, i) =>
              key.kind === 'column' ? canonicalKey(key.type, keys[i], null) : keys[i],
            ),
          )

        const page = (over: Partial<RowsRequest>): Promise<RowsResult> => {
          const { under } = b.get()
          return under.withSnapshot((snapshot) =>
            under.tier.rows(
              {
                kind: 'rows',
                dataset,
                range: everything,
                where: null,
                columns,
                direction: 'asc',
                limit: 10_000,
                after: null,
                withKeys: true,
                ...over,
              },
              { snapshot, signal: null },
            ),
          )
        }

        it('has for each row the keys that every tier has, in their order', async () => {
          for (const direction of ['asc', 'desc'] as const) {
            const { rows, keys, end } = await page({ direction })
            expect(end).toBeNull()
            const expected = naive()
              .map(keysOf)
              .sort((x, y) => (direction === 'asc' ? ascending(x, y) : ascending(y, x)))
            expect(keys?.map(keysAsShown)).toEqual(expected.map(keysAsShown))
            const time = columns.indexOf(dataset.time)
            expect(rows.map((row) => row[time])).toEqual(keys?.map(([instant]) => instant))
            expect((await page({ direction, withKeys: false })).keys).toBeNull()
          }
        })

        it('goes on behind any place, with the keys or without', async () => {
          for (const direction of ['asc', 'desc'] as const) {
            const all = (await page({ direction })).keys as readonly (readonly unknown[])[]
            for (const at of [0, 1, Math.floor(all.length / 2), all.length - 2, all.length - 1]) {
              const keys = all[at] as readonly unknown[]
              const before = all.filter(
                (other) => ascending(other, keys) * (direction === 'asc' ? 1 : -1) < 0,
              )
              const same = all.filter((other) => ascending(other, keys) === 0)
              const later = all.filter(([time]) =>
                direction === 'asc' ? time! > keys[0]! : time! < keys[0]!,
              )
              for (const withKeys of [true, false]) {
                const left = async (after: RowPosition): Promise<number> =>
                  (await page({ direction, withKeys, after })).rows.length
                expect(await left({ keys, seen: 0 })).toBe(all.length - before.length)
                expect(await left({ keys, seen: 1 })).toBe(all.length - before.length - 1)
                expect(await left({ keys, seen: same.length })).toBe(all.length - before.length - same.length)
                expect(await left({ keys: [keys[0]], seen: 1 })).toBe(later.length)
              }
            }
          }
        })

        it('ends its pages where the next one goes on, whatever their size', async () => {
          for (const direction of ['asc', 'desc'] as const)
            for (const withKeys of [true, false])
              for (const limit of [1, 3, 8]) {
                const found: string[] = []
                let after: RowPosition | null = null
                do {
                  const answer: RowsResult = await page({ direction, withKeys, limit, after })
                  expect(answer.rows.length).toBeLessThanOrEqual(limit)
                  if (answer.end) expect(answer.rows.length).toBeGreaterThan(0)
                  found.push(...answer.rows.map(shown))
                  after = answer.end
                } while (after)
                const whole = (await page({ direction })).rows.map(shown)
                expect(found.sort()).toEqual(whole.sort())
              }
        })

        it('says of the newest row of a series what made it so', async () => {
          const { under } = b.get()
          for (const by of [['tag'], []]) {
            const answer = await under.withSnapshot((snapshot) =>
              under.tier.latest(
                {
                  kind: 'latest',
                  dataset,
                  range: null,
                  where: null,
                  limit: null,
                  columns,
                  by,
                  withKeys: true,
                },
                { snapshot, signal: null },
              ),
            )
            const kinds = newestKeys(dataset, by)
            const canonical = (keys: readonly unknown[]): string =>
              shown(
                kinds.map(({ type }, i) =>
                  type === 'jsonb' ? keys[i] : canonicalKey(type, keys[i] ?? null, null),
                ),
              )
            const isNewer = compareNewest(kinds)
            const best = new Map<string, readonly unknown[]>()
            for (const row of naive()) {
              const id = shown(by.map((name) => row[name]))
              const keys = newestKeysOf(row, by)
              const known = best.get(id)
              if (!known || isNewer(keys, known) > 0) best.set(id, keys)
            }
            expect(answer.keys?.map(canonical).sort()).toEqual([...best.values()].map(canonical).sort())
          }
        })
      })

    // a place for history only holds no table without time: there is nothing to promise
    if (options.plainTables !== false)
      describe('a table without time', () => {
        const b = bench(plainTable, plainRows)

        it('aggregates and gives rows by key', async () => {
          await expectRight(b.get(), [
            {},
            { direction: 'desc', columns: ['name', 'id'], limit: 3 },
            { select: { n: count, heavy: { fn: 'max', column: 'weight' } } },
            { by: ['name'], select: { n: count }, order: ['-name'] },
            { where: { weight: { gt: 0 } } },
          ])
          const first = await b.get().ask({ columns: ['id'], limit: 2 })
          const second = await b.get().ask({ columns: ['id'], limit: 2, cursor: first.cursor })
          expect([...first.rows, ...second.rows].map((row) => row['id'])).toEqual([1, 2, 3, 10])
          expect(second.cursor).toBeNull()
        })
      })

    describe('no rows at all', () => {
      const b = bench(everyType, [])

      it('answers every kind of query', async () => {
        await expectRight(b.get(), [
          {},
          { latestBy: ['tag'] },
          { select: { n: count, v: { fn: 'avg', column: 'value' } } },
          { bucket: '1 hour', select: { n: count }, order: ['-bucket'], limit: 5 },
          { bucket: '1 month', zone: 'Europe/Berlin', select: { n: count } },
          { bucket: '1 hour', select: { n: count }, fill: 'null' },
          {
            bucket: '1 hour',
            from: start,
            to: start + 36_000_000_000n,
            select: { n: count },
            fill: { constant: 0 },
          },
        ])
      })
    })

    describe('random rows', () => {
      const seed = options.seed ?? Math.floor(Math.random() * 2 ** 31)
      const rows = randomRows(seed, 400)
      const b = bench(everyType, rows)

      it(`answers random queries as the oracle does (seed ${seed})`, async () => {
        await fc.assert(
          fc.asyncProperty(queryArbitrary({ dataset: everyType, rows, paths }), async (input) => {
            expect(await b.get().differences(input), showInput(input)).toEqual([])
          }),
          { seed, numRuns: options.randomQueries ?? 60 },
        )
      }, 60_000)
    })
  })
}

function instantOf(iso: string): bigint {
  const [, seconds, fraction] = /^(.*?)(?:\.(\d+))?Z$/.exec(iso) as unknown as [
    string,
    string,
    string | undefined,
  ]
  return BigInt(Date.parse(`${seconds}Z`)) * 1000n + BigInt((fraction ?? '').padEnd(6, '0'))
}

function showInput(input: unknown): string {
  return JSON.stringify(input, (_, value) =>
    typeof value === 'bigint'
      ? `${value}n`
      : Number.isNaN(value)
        ? 'NaN'
        : value === Infinity
          ? 'Infinity'
          : value,
  )
}
