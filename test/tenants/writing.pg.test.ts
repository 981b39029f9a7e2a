import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import {
  allTenants,
  defineConfig,
  hypertable,
  noTenant,
  type TenantScope,
  t,
  table,
} from '../../src/schema/index.ts'
import { scopedTo } from '../../src/scoped.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { toJsonText } from '../../src/util/json.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const samples = hypertable('own.samples', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    id: t.text(),
    value: t.int4(),
    note: t.text().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  primaryKey: ['tenant', 'id', 'time'],
  chunk: '1 day',
})
const clicks = hypertable('own.clicks', {
  columns: { time: t.timestamptz(), tenant: t.text(), event_id: t.text() },
  time: 'time',
  tenant: 'tenant',
  dedupe: { by: 'event_id', within: '2 days' },
})
const meters = hypertable('own.meters', {
  columns: { time: t.timestamptz(), owner: t.uuid(), value: t.int4() },
  time: 'time',
  tenant: 'owner',
})
const devices = table('own.devices', {
  columns: { tenant: t.int8(), id: t.int4(), name: t.text() },
  tenant: 'tenant',
  primaryKey: ['tenant', 'id'],
})
const plans = table('own.plans', { columns: { plan: t.text(), price: t.int4() }, primaryKey: ['plan'] })

const config = defineConfig({ datasets: [samples, clicks, meters, devices, plans], lake: { dir: 'lake' } })
const a: TenantScope = { kind: 'one', tenant: 'acme' }
const b: TenantScope = { kind: 'one', tenant: 'umbrella' }
const time = '2026-03-01T00:00:00Z'

let engine: TestEngine
beforeAll(async () => {
  engine = await createTestEngine(config)
})
afterAll(() => engine.close())
beforeEach(() =>
  engine.test.db.execute(
    'truncate own.samples, own.clicks, own.meters, own.devices, own.plans, tidemark.dead_letter, tidemark.ingest_batch, tidemark.seen_event',
  ),
)

const list = async (statement: string): Promise<unknown[]> => [
  ...(await engine.test.db.query(raw(statement))).rows,
]
const stored = (): Promise<unknown[]> => list('select tenant, id, value from own.samples order by 1, 2')

it('rows get the tenant of their caller; those of another are refused one by one, and kept as dead letters of his', async () => {
  const { tm } = engine
  const rows = [
    { time, id: '1', value: 1 },
    { time, id: '2', value: 2, tenant: 'acme' },
    { time, id: '3', value: 3, tenant: 'umbrella' },
    { time, id: '4', value: 4, tenant: null },
    { time, id: '5', value: 'x', tenant: 'umbrella' },
    { time, id: '6', value: 6, tenant: 7 },
    { time, id: '7', value: 7, tenant: '' },
  ]
  const report = await tm.ingestUnknown(samples.name, rows, { scope: a })
  expect(report.accepted).toBe(4)
  expect(report.rejected.rows.map(({ index, column, reason }) => [index, column, reason])).toEqual([
    [2, 'tenant', 'tenant'],
    [4, 'tenant', 'tenant'],
    [5, 'tenant', 'type'],
  ])
  expect(await stored()).toEqual([
    ['acme', '1', 1],
    ['acme', '2', 2],
    ['acme', '4', 4],
    ['acme', '7', 7],
  ])
  expect(await list('select tenant, line::int4, reason from tidemark.dead_letter order by line')).toEqual([
    ['acme', 2, 'tenant'],
    ['acme', 4, 'tenant'],
    ['acme', 5, 'type'],
  ])
  await expect(
    tm.ingestUnknown(samples.name, rows.slice(0, 3), { scope: a, atomic: true }),
  ).rejects.toMatchObject({ code: 'TM_TENANT', message: expect.stringContaining('row 2') })
})

it('every other way of writing keeps to its own rows, too', async () => {
  const { tm } = engine
  const [mine, theirs] = [scopedTo(tm, a), scopedTo(tm, b)]
  await theirs.insertUnknown(samples.name, [{ time, id: '1', value: 10 }])
  expect(await mine.insertUnknown(samples.name, [{ time, id: '1', value: 1 }])).toBe(1)
  expect(await mine.upsertUnknown(samples.name, [{ time, id: '1', value: 2 }])).toBe(1)
  class Reading {
    readonly #id = '2'
    readonly time = time
    readonly value = 3
    get id(): string {
      return this.#id
    }
  }
  await mine.insertUnknown(
    samples.name,
    (async function* () {
      yield new Reading()
    })() as never,
  )
  expect(await stored()).toEqual([
    ['acme', '1', 2],
    ['acme', '2', 3],
    ['umbrella', '1', 10],
  ])
  for (const write of [
    () => mine.insertUnknown(samples.name, [{ time, id: '9', value: 1, tenant: 'umbrella' }]),
    () => mine.upsertUnknown(samples.name, [{ time, id: '1', value: 1, tenant: 'umbrella' }]),
    () => mine.updateUnknown(samples.name, { all: true, set: { tenant: 'umbrella' } }),
  ])
    await expect(write()).rejects.toMatchObject({ code: 'TM_TENANT' })

  // what was asked for is left as it is where it is another's
  const where = { $or: [{ tenant: 'umbrella' }, { value: { gte: 0 } }] }
  expect(await mine.updateUnknown(samples.name, { where, set: { note: 'seen', tenant: 'acme' } })).toBe(2)
  expect(await mine.updateUnknown(samples.name, { where: { tenant: 'umbrella' }, set: { note: 'x' } })).toBe(
    0,
  )
  expect(await mine.deleteUnknown(samples.name, { all: true })).toBe(2)
  expect(await list('select tenant, note from own.samples')).toEqual([['umbrella', null]])
  for (const wrong of [{ all: true, limit: 1 }, { where: {}, cursor: 'x' }, [], null, { from: 'no time' }])
    await expect(mine.deleteUnknown(samples.name, wrong)).rejects.toMatchObject({ code: 'TM_QUERY' })
})

it('rows in the lake are changed and deleted for their tenant alone', async () => {
  const { tm } = engine
  for (const scope of [a, b]) await tm.insertUnknown(samples.name, [{ time, id: '1', value: 1 }], { scope })
  await tm.freeze(samples.name, { from: '2026-03-01', to: '2026-03-02' })
  expect(await tm.updateUnknown(samples.name, { all: true, set: { value: 5 } }, { scope: a })).toBe(1)
  expect(await tm.upsertUnknown(samples.name, [{ time, id: '1', value: 6 }], { scope: a })).toBe(1)
  const all = { columns: ['tenant', 'value'] }
  expect((await tm.queryUnknown(samples.name, all)).rows).toEqual(
    expect.arrayContaining([
      { tenant: 'acme', value: 6 },
      { tenant: 'umbrella', value: 1 },
    ]),
  )
  expect(await tm.deleteUnknown(samples.name, { all: true }, { scope: a })).toBe(1)
  expect((await tm.queryUnknown(samples.name, all)).rows).toEqual([{ tenant: 'umbrella', value: 1 }])
  await tm.thaw(samples.name, { from: '2026-03-01', to: '2026-03-02' })
})

it('a tenant is one value of the type of its column, however rows write it', async () => {
  const { tm } = engine
  const id = '0af7651c-d43d-4f5a-b8e3-4f1c2a9b7d10'
  const scope: TenantScope = { kind: 'one', tenant: id.toUpperCase() }
  const rows = [{ value: 1 }, { value: 2, owner: id }, { value: 3, owner: id.toUpperCase() }]
  const given = rows.map((row) => ({ time, ...row }))
  expect((await tm.ingestUnknown(meters.name, given, { scope })).accepted).toBe(3)
  expect((await tm.queryUnknown(meters.name, {}, { scope })).rows).toHaveLength(3)

  const seven: TenantScope = { kind: 'one', tenant: '7' }
  const named = [7, 7n, '7', undefined].map((tenant, id) => ({
    id,
    name: 'x',
    ...(tenant === undefined ? {} : { tenant }),
  }))
  expect(await tm.insertUnknown(devices.name, named, { scope: seven })).toBe(4)
  for (const tenant of [8, '8', '07', 8n])
    await expect(
      tm.upsertUnknown(devices.name, [{ id: 9, name: 'x', tenant }], {
        scope: tenant === '07' ? { kind: 'one', tenant: '8' } : seven,
      }),
    ).rejects.toMatchObject({ code: 'TM_TENANT' })
  expect(await tm.deleteUnknown(devices.name, { all: true }, { scope: seven })).toBe(4)
})

it('whoever has no tenant writes nothing, and what belongs to all is written by those who may write for all', async () => {
  const { tm } = engine
  const row = { time, id: '1', value: 1, tenant: 'acme' }
  for (const scope of [noTenant, { kind: 'one', tenant: '' } as const])
    for (const write of [
      () => tm.ingestUnknown(samples.name, [row], { scope }),
      () => tm.insertUnknown(samples.name, [row], { scope }),
      () => tm.upsertUnknown(samples.name, [row], { scope }),
      () => tm.updateUnknown(samples.name, { all: true, set: { value: 2 } }, { scope }),
      () => tm.deleteUnknown(samples.name, { all: true }, { scope }),
    ])
      await expect(write()).rejects.toMatchObject({ code: 'TM_TENANT' })
  await expect(tm.ingestUnknown(devices.name, [], { scope: a })).rejects.toMatchObject({ code: 'TM_TENANT' })
  await tm.insertUnknown(plans.name, [{ plan: 'pro', price: 1 }])
  for (const scope of [a, noTenant])
    for (const write of [
      () => tm.ingestUnknown(plans.name, [{ plan: 'x', price: 1 }], { scope }),
      () => tm.insertUnknown(plans.name, [{ plan: 'x', price: 1 }], { scope }),
      () => tm.upsertUnknown(plans.name, [{ plan: 'pro', price: 2 }], { scope }),
      () => tm.updateUnknown(plans.name, { all: true, set: { price: 2 } }, { scope }),
      () => tm.deleteUnknown(plans.name, { all: true }, { scope }),
    ])
      await expect(write()).rejects.toMatchObject({ code: 'TM_FORBIDDEN' })
  expect(await list('select plan, price from own.plans')).toEqual([['pro', 1]])
})

it('a key of one tenant is not that of another, nor is the id of an event', async () => {
  const { tm } = engine
  const rows = [{ time, id: '1', value: 1 }]
  const send = (scope: TenantScope, given: readonly object[], more: object) =>
    tm.ingestUnknown(samples.name, given, { ...more, scope })
  const keyed = { idempotencyKey: 'upload 17' }
  const first = await send(a, rows, keyed)
  expect([first.inserted, first.isReplayed]).toEqual([1, false])
  // the same key, with other rows and with the same
  const theirs = await send(b, [{ time, id: '1', value: 2 }], keyed)
  expect([theirs.inserted, theirs.isReplayed]).toEqual([1, false])
  expect((await send(allTenants, [{ time, id: '3', value: 3, tenant: 'acme' }], keyed)).isReplayed).toBe(
    false,
  )
  expect((await send(a, rows, keyed)).isReplayed).toBe(true)
  await expect(send(a, [{ time, id: '5', value: 5 }], keyed)).rejects.toMatchObject({
    code: 'TM_IDEMPOTENCY',
  })
  for (const scope of [a, b]) {
    const digested = { sentDigest: 'ab', onConflict: 'ignore' }
    const sent = [{ time, id: '7', value: 7 }]
    expect((await send(scope, sent, digested)).isReplayed).toBe(false)
    expect((await send(scope, sent, digested)).isReplayed).toBe(true)
  }
  expect(await stored()).toEqual([
    ['acme', '1', 1],
    ['acme', '3', 3],
    ['acme', '7', 7],
    ['umbrella', '1', 2],
    ['umbrella', '7', 7],
  ])

  const click = (tenant?: string) => [{ time, event_id: 'e1', ...(tenant === undefined ? {} : { tenant }) }]
  const counts = []
  for (const [scope, given] of [
    [a, click()],
    [b, click()],
    [a, click()],
    [allTenants, click('umbrella')],
    [allTenants, click('initech')],
  ] as const) {
    const { inserted, duplicates } = await tm.ingestUnknown(clicks.name, given, { scope })
    counts.push([inserted, duplicates])
  }
  expect(counts).toEqual([
    [1, 0],
    [1, 0],
    [0, 1],
    [0, 1],
    [1, 0],
  ])
})

it('callers of several tenants whose rows share a transaction hear of their own alone', async () => {
  const { tm } = engine
  const scopes = Array.from({ length: 12 }, (_, i): TenantScope => ({ kind: 'one', tenant: `t${i}` }))
  for (const scope of scopes) await tm.insertUnknown(samples.name, [{ time, id: 'old', value: 0 }], { scope })
  const reports = await Promise.allSettled(
    scopes.map((scope, i) =>
      tm.ingestUnknown(
        samples.name,
        [
          { time, id: 'new', value: i },
          { time, id: i % 3 === 0 ? 'old' : 'other', value: i },
        ],
        { scope, atomic: i % 2 === 0, idempotencyKey: 'same' },
      ),
    ),
  )
  for (const [i, report] of reports.entries()) {
    const said = report.status === 'fulfilled' ? toJsonText(report.value) : String(report.reason)
    const others = scopes.filter((_, j) => j !== i).map((scope) => `${(scope as { tenant: string }).tenant}`)
    expect(
      others.filter((other) => new RegExp(`\\b${other}\\b`).test(said)),
      said,
    ).toEqual([])
    if (i % 3 !== 0) expect(report).toMatchObject({ status: 'fulfilled', value: { inserted: 2 } })
    else if (i % 2 === 0)
      expect(report).toMatchObject({ status: 'rejected', reason: { code: 'TM_DUPLICATE_KEY' } })
    else expect(report).toMatchObject({ status: 'fulfilled', value: { inserted: 1, rejected: { count: 1 } } })
  }
})

it('dead letters are seen, corrected, replayed and dropped by their tenant, on whose behalf they are written', async () => {
  const { tm } = engine
  for (const [scope, value] of [
    [a, 'x'],
    [b, 'y'],
    [allTenants, 'z'],
  ] as const)
    await tm.ingestUnknown(
      samples.name,
      [{ time, id: '1', value, ...(scope === allTenants ? { tenant: 'acme' } : {}) }],
      { scope },
    )
  await scopedTo(tm, b).keepStrays('otlp', [
    { dataset: 'otlp', index: 0, column: null, value: null, reason: 'json', message: 'odd', raw: 'odd' },
  ])
  const [mine, theirs] = [tm.deadLettersOf(a), tm.deadLettersOf(b)]
  const all = await tm.deadLetters.list()
  expect(all.map(({ tenant }) => tenant)).toEqual(['acme', 'umbrella', null, 'umbrella'])
  expect((await mine.list()).map(({ value }) => value)).toEqual(['"x"'])
  expect((await theirs.groups()).map(({ reason, count }) => [reason, count])).toEqual([
    ['json', 1],
    ['type', 1],
  ])
  expect(await tm.deadLettersOf(noTenant).list()).toEqual([])
  const theirId = all[1]!.id
  await expect(mine.explain(theirId)).rejects.toMatchObject({ code: 'TM_QUERY' })
  expect((await mine.explain(all[0]!.id)).problems.map(({ column }) => column)).toEqual(['value'])
  expect((await mine.fix({ ids: [theirId] }, { set: { value: 1 } }, { apply: true })).changed).toBe(0)
  expect((await mine.replay({ ids: [theirId] })).replayed).toBe(0)
  expect(await mine.drop({ ids: [theirId] })).toBe(0)
  expect(await tm.deadLettersOf(noTenant).drop({ all: true })).toBe(0)

  // also an operator writes them on behalf of whom they came from
  const fixed = await tm.deadLetters.fix({ reason: 'type' }, { set: { value: 9 } }, { apply: true })
  expect([fixed.changed, fixed.fits]).toEqual([3, 3])
  expect((await theirs.replay({ reason: 'type' })).replayed).toBe(1)
  expect((await tm.deadLetters.replay({ reason: 'type' }, { onConflict: 'ignore' })).replayed).toBe(2)
  expect(await stored()).toEqual([
    ['acme', '1', 9],
    ['umbrella', '1', 9],
  ])

  // a row that claims to be another's is not made so by whoever replays it
  await tm.ingestUnknown(samples.name, [{ time, id: '2', value: 1, tenant: 'umbrella' }], { scope: a })
  expect((await tm.deadLetters.replay({ reason: 'tenant' })).rejected.count).toBe(1)
  await mine.fix({ reason: 'tenant' }, { drop: ['tenant'] }, { apply: true })
  expect((await mine.replay({ reason: 'tenant' })).replayed).toBe(1)
  expect((await stored()).length).toBe(3)
})

it('rows that wait on disk are written on behalf of whom they came from', async () => {
  const { tm } = engine
  const queued = { ack: 'queued', idempotencyKey: 'k' } as const
  const rows = (value: number) => [
    { time, id: '1', value },
    { time, id: '2', value, tenant: 'initech' },
  ]
  for (const [scope, value] of [
    [a, 1],
    [b, 2],
  ] as const) {
    const { accepted, rejected } = await tm.ingestUnknown(samples.name, rows(value), { ...queued, scope })
    expect([accepted, rejected.count]).toEqual([1, 1])
  }
  await expect.poll(stored).toEqual([
    ['acme', '1', 1],
    ['umbrella', '1', 2],
  ])
  await expect
    .poll(() => list('select tenant, reason from tidemark.dead_letter order by tenant'))
    .toEqual([
      ['acme', 'tenant'],
      ['umbrella', 'tenant'],
    ])
})

it('what PostgreSQL says of rows that it looked at is withheld from a tenant, and kept as the cause', async () => {
  const { tm, test } = engine
  await tm.insertUnknown(samples.name, [{ time, id: 'theirs', value: 1 }], { scope: b })
  await test.db.execute(`
    create function own.tell() returns trigger language plpgsql as
      $$ begin raise exception using errcode = '22000', message = 'the row is ' || old.id || ' theirs'; end $$;
    create trigger tell before update on own.samples for each row execute function own.tell()`)
  try {
    await tm.insertUnknown(samples.name, [{ time, id: 'mine', value: 1 }], { scope: a })
    const changed = tm.updateUnknown(samples.name, { all: true, set: { value: 2 } }, { scope: a })
    const error: unknown = await changed.catch((thrown: unknown) => thrown)
    expect(
      isTidemarkError(error) && [error.code, toJsonText(error.params), error.message].join(' '),
    ).not.toContain('theirs')
    expect(String((error as Error).cause)).toContain('theirs')
    await expect(tm.updateUnknown(samples.name, { all: true, set: { value: 2 } })).rejects.toThrow('theirs')
  } finally {
    await test.db.execute('drop trigger tell on own.samples')
  }
})
