import { beforeAll, describe, expect, it } from 'vitest'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await test.db.execute(`
    create table reading (time timestamptz, n int4, value float8, words text[]);
    insert into reading
      select timestamptz '2026-01-01' + n * interval '1 second', n, sqrt(n), array['a', n::text]
      from generate_series(1, 20000) n order by n % 97, n;
    insert into reading values (null, null, -1, null), ('2026-01-01 00:00:00.5', 0, null, '{}');
    analyze reading`)
})

const row = async (list: string, rest = ''): Promise<unknown[]> => [
  ...((await test.db.query(raw(`select ${list} from reading ${rest}`))).rows[0] ?? []),
]

describe('first and last', () => {
  it('give the value at the least and the greatest time; a row without time is left out', async () => {
    expect(await row('tidemark.last(value, time), tidemark.last(n, n), tidemark.last(words, time)')).toEqual([
      Math.sqrt(20_000),
      20_000,
      ['a', '20000'],
    ])
    expect(await row('tidemark.first(words, time), tidemark.first(n, time)')).toEqual([[], 0])
  })

  it('give null where the value at that time is null', async () => {
    expect(await row('tidemark.first(value, time)')).toEqual([null])
    expect(await row('tidemark.first(value, time), tidemark.last(value, time)', 'where n is null')).toEqual([
      null,
      null,
    ])
    expect(await row('tidemark.first(value, time), tidemark.last(value, n)', 'where false')).toEqual([
      null,
      null,
    ])
  })

  it('go by whatever can be compared, with values of any type', async () => {
    for (const by of [
      'n',
      'n::int8',
      'n::int2',
      'n::numeric',
      'n::float8',
      'time',
      'time::timestamp',
      `lpad(n::text, 9, '0')`,
    ])
      expect([by, ...(await row(`tidemark.last(n, ${by}), tidemark.first(time, ${by})`))]).toEqual([
        by,
        20_000,
        1_767_225_600_500_000n,
      ])
    expect(
      await row('(tidemark.last(reading, time)).n, tidemark.last(n, time::date)', 'where n = 5'),
    ).toEqual([5, 5])
  })

  it('are the same from parallel workers', async () => {
    await test.db.withConnection(async (connection) => {
      await connection.execute(
        `set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0`,
      )
      const text = `select tidemark.first(words, time), tidemark.last(value, time), tidemark.histogram(value, 0, 100, 4)
        from reading`
      const query = raw(text)
      const { rows: plan } = await connection.query(raw(`explain (costs off) ${text}`))
      expect(plan.flat().join('\n')).toContain('Partial')
      const parallel = await connection.query(query)
      await connection.execute('set max_parallel_workers_per_gather = 0')
      expect(parallel.rows).toEqual((await connection.query(query)).rows)
      await connection.execute('reset all')
    })
  })
})

describe('histogram', () => {
  it('counts what lies below, in each part, and above', async () => {
    const of = (list: string, args: string): Promise<unknown> =>
      test.db
        .query(raw(`select tidemark.histogram(v, ${args}) from unnest(array[${list}]::float8[]) v`))
        .then(({ rows }) => rows[0]?.[0])
    const values = '0, 1, 2, 3, 4, 5, 6, 1, 2, 1'
    expect(await of(values, '0, 9, 2')).toEqual([0, 8, 2, 0])
    expect(await of(values, '0, 9, 5')).toEqual([0, 4, 3, 2, 1, 0, 0])
    expect(await of(values, '1, 3, 2')).toEqual([1, 3, 2, 4])
    expect(await of(`${values}, null`, '1, 3, 1')).toEqual([1, 5, 4])
  })

  it('is null without values, and refuses bounds and numbers that make none', async () => {
    expect(await row('tidemark.histogram(value, 0, 1, 2)', 'where false')).toEqual([null])
    await expect(row('tidemark.histogram(value, 2, 1, 2)')).rejects.toThrow('min (2) is greater than max (1)')
    await expect(row('tidemark.histogram(value, 1, 2, n)', 'where n > 0')).rejects.toThrow(
      'must not change between rows',
    )
  })
})
