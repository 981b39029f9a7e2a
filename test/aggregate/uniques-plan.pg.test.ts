import { beforeAll, describe, expect, it } from 'vitest'
import { type AggregateState, type StateSpec, stateSelect, states } from '../../src/aggregate/index.ts'
import { identifier, join, raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { bytesOf } from './harness.ts'

const spec: StateSpec = { kind: 'hll', input: 'int8', borders: null }

/** Cells of 1 to 3,000 different values, and of null keys; 40,000 cells of one value each. */
const rows = raw(`
  select case when g = 7 then null else 'k' || g end as a, case g % 3 when 0 then null else g end as b, v::int8 as value
  from generate_series(1, 40) as g, generate_series(1, case g % 4 when 0 then 3000 when 1 then 513 when 2 then 512 else g end) as v
  union all
  select 'one ' || g, null, g::int8 from generate_series(1, 40000) as g`)

describe('uniques over many cells', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
    await test.db.execute(sql`create table counted as ${rows}`)
  })

  const shape = states.hll.postgres(spec) as Exclude<
    ReturnType<typeof states.hll.postgres>,
    { shape: 'columns' }
  >
  const statement = (cells: readonly string[]) =>
    stateSelect(
      shape,
      { value: identifier('value'), time: null, filter: null },
      { cells: cells.map((name) => identifier(name)), from: identifier('counted'), where: null },
    )

  const inLittleMemory = <T>(
    run: (query: (text: ReturnType<typeof sql>) => Promise<readonly (readonly unknown[])[]>) => Promise<T>,
  ) =>
    test.db.transaction({}, async (connection) => {
      await connection.execute(`set local work_mem = '64kB'; set local jit = off`)
      return run(async (text) => (await connection.query(text)).rows)
    })

  it.each([[[]], [['a']], [['a', 'b']]])(
    'nothing is compared with each cell, whatever is believed of %j',
    async (cells) => {
      const plan = await inLittleMemory(async (query) => {
        await query(raw('analyze counted'))
        const analyzed = await query(sql`explain ${statement(cells)}`)
        // as if there were hardly any rows, and hardly any cells
        await query(raw('update pg_class set reltuples = 10, relpages = 1 where relname = $$counted$$'))
        await query(raw('delete from pg_statistic where starelid = $$counted$$::regclass'))
        return [...analyzed, ...(await query(sql`explain ${statement(cells)}`))].join('\n')
      })
      expect(plan).toContain('Aggregate')
      // an InitPlan runs once; a SubPlan for each row, and a join may be nested
      expect(plan).not.toMatch(/SubPlan|Nested Loop|Join|Merge Cond|Materialize/)
    },
  )

  it('they are what TypeScript counts, in memory that holds none of it', async () => {
    const found = await inLittleMemory((query) => query(statement(['a', 'b'])))
    expect(found).toHaveLength(40_040)
    const name = (a: unknown, b: unknown): string => JSON.stringify([a, b])
    const counted = new Map(
      found.map(([a, b, ...values]) => [name(a, b), bytesOf(spec, shape.read(values))] as const),
    )
    const { rows: values } = await test.db.query(
      sql`select ${join([identifier('a'), identifier('b'), identifier('value')], ', ')} from counted`,
    )
    const expected = new Map<string, AggregateState>()
    for (const [a, b, value] of values) {
      const state = expected.get(name(a, b)) ?? states.hll.create(spec)
      expected.set(name(a, b), states.hll.add(state as never, value as bigint, null))
    }
    expect(counted).toEqual(new Map([...expected].map(([key, state]) => [key, bytesOf(spec, state)])))
  })
})
