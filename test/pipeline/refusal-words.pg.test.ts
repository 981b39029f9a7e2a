import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Pipeline } from '../../src/pipeline/index.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable } from '../hot/create-test-hypertable.ts'
import { batchOf, testPipeline } from './fixture.ts'

/** A table that refuses more than its declaration knows of. */
const orders = table('public.orders', {
  columns: {
    id: t.int4(),
    email: t.text().nullable(),
    amount: t.int4().nullable(),
    least: t.int4().nullable(),
    shop: t.int4().nullable(),
    at: t.timestamptz().nullable(),
    code: t.text().nullable(),
    size: t.int4().nullable(),
  },
  primaryKey: ['id'],
})
const events = hypertable('public.visits', {
  columns: { time: t.timestamptz(), tag: t.text(), value: t.int4().nullable() },
  time: 'time',
  chunk: '1 day',
})

let test: TestDatabase
let pipeline: Pipeline
beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, events)
  await test.db.execute(`
    alter table visits add constraint "small one" check (value < 1000);
    create table shops (id int4 primary key);
    insert into shops values (1);
    create table orders (
      id int4 primary key, email text unique, amount int4, least int4, shop int4 constraint shop_fk references shops,
      at timestamptz not null, code varchar(3), size int2,
      constraint amounts check (amount >= least), constraint odd check (id % 2 = 1),
      exclude using btree (code with =)
    );
    insert into orders values (1, 'taken@example.org', 1, 1, 1, '2026-01-01', 'abc', 1);
    create function refuse() returns trigger language plpgsql as
      $$ begin if new.amount = 666 then raise exception 'no devilish amounts'; end if; return new; end $$;
    create trigger refuse before insert on orders for each row execute function refuse()`)
  pipeline = testPipeline(test.db)
})
afterAll(async () => {
  await pipeline.close()
  await test.drop()
})

const at = '2026-01-01T00:00:00Z'
const refused: readonly (readonly [object, object])[] = [
  [
    { email: 'taken@example.org' },
    {
      column: 'email',
      value: '"taken@example.org"',
      reason: 'duplicate_key',
      message: 'a row with the same "email" exists (unique "orders_email_key")',
    },
  ],
  [
    { amount: 1, least: 2 },
    {
      column: null,
      value: null,
      reason: 'constraint',
      message: '"amount", "least" do not satisfy the constraint "amounts" of the table',
    },
  ],
  [
    { id: 100 },
    {
      column: 'id',
      value: '100',
      reason: 'constraint',
      message: '"id" does not satisfy the constraint "odd" of the table',
    },
  ],
  [
    { shop: 77 },
    {
      column: 'shop',
      value: '77',
      reason: 'constraint',
      message: '"shop" points at a row that is not there (foreign key "shop_fk")',
    },
  ],
  [
    { at: null },
    {
      column: 'at',
      value: 'null',
      reason: 'null',
      message: '"at" must not be null: the table says so, whatever is declared',
    },
  ],
  [
    { code: 'long' },
    {
      column: null,
      value: null,
      reason: 'refused',
      message: 'a text is longer than its column in the database takes',
    },
  ],
  [
    { code: 'abc' },
    {
      column: 'code',
      value: '"abc"',
      reason: 'constraint',
      message: '"code" excludes a row that exists (constraint "orders_code_excl")',
    },
  ],
  [
    { size: 100_000 },
    {
      column: null,
      value: null,
      reason: 'refused',
      message: 'a number is out of the range of its column in the database',
    },
  ],
  [
    { amount: 666 },
    {
      column: null,
      value: null,
      reason: 'refused',
      message: 'a trigger of the table refuses the row: no devilish amounts',
    },
  ],
]

it('what the table refuses beyond its declaration is told with column, value and reason, in our words', async () => {
  const rows = refused.flatMap(([row], i) => [
    { at, id: 1001 + 4 * i, ...row },
    { at, id: 1003 + 4 * i },
  ])
  const report = await pipeline.ingest(batchOf(orders, rows))
  expect(report.inserted).toBe(refused.length)
  expect(report.rejected.rows).toEqual(refused.map(([, why], i) => ({ index: 2 * i, ...why })))
  const { rows: kept } = await test.db.query(
    raw('select column_name, value, reason, message from tidemark.dead_letter order by line'),
  )
  expect(kept).toEqual(
    report.rejected.rows.map(({ column, value, reason, message }) => [column, value, reason, message]),
  )
})

it('no partition is named where a chunk refuses', async () => {
  const report = await pipeline.ingest(
    batchOf(events, [
      { time: at, tag: 'a', value: 5000 },
      { time: at, tag: 'b' },
    ]),
  )
  expect(report.rejected.rows).toEqual([
    {
      index: 0,
      column: 'value',
      value: '5000',
      reason: 'constraint',
      message: '"value" does not satisfy the constraint "small one" of the table',
    },
  ])
  await expect(
    pipeline.ingest(batchOf(events, [{ time: at, tag: 'a', value: 5000 }], { isAtomic: true })),
  ).rejects.toThrow('public.visits: constraint "small one" refused the write: a row does not satisfy it')
})
