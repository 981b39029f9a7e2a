import { afterEach, beforeEach, expect, it } from 'vitest'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createFixture, day, type Fixture, samples, seen, states } from './fixture.ts'

/** What a freeze leaves in the catalog that is killed during its export. */
let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(samples)
  await fixture.writer.insert(samples, day('2026-01-01'))
  await fixture.test.db.execute(`
    update tidemark.chunk
    set state = 'freezing', lease_owner = gen_random_uuid(), lease_until = now() + interval '1 minute'`)
})
afterEach(() => fixture.drop())

const leaseEnds = () =>
  fixture.test.db.execute(`update tidemark.chunk set lease_until = now() - interval '1 second'`)
const shown = async () => (await fixture.lifecycle.status(samples)).map(({ state }) => state)

it('is waited for while its lease runs, and is shown as hot afterwards', async () => {
  const { lifecycle, writer, test } = fixture
  expect(await shown()).toEqual(['freezing'])
  expect(await lifecycle.freeze(samples)).toMatchObject({ chunks: 0, taken: [1n] })
  // rows are read and written as ever
  await writer.insert(samples, day('2026-01-01', 1, 'late'))
  await test.db.execute(`update samples set value = 7 where sensor = 's1'`)
  expect(await seen(fixture, test.db, samples)).toEqual(['H late0', 'H s0', 'H s1', 'H s2'])
  await leaseEnds()
  expect(await shown()).toEqual(['hot'])
})

it('is taken over by the next freeze', async () => {
  const { lifecycle, test } = fixture
  await leaseEnds()
  expect(await lifecycle.freeze(samples)).toMatchObject({ chunks: 1, rows: 3, taken: [] })
  expect(await states(test.db)).toEqual(['cold 1'])
})

it('is taken over by the policy, which also tidies up what it does not freeze', async () => {
  const { another, test, clock } = fixture
  const lifecycle = another({ settings: { quietMs: 0 } })
  clock.set(parseInstant('2026-01-03T00:00:00Z'))
  expect(await lifecycle.freezeDue(samples)).toMatchObject({ chunks: 0, taken: [] })
  expect(await states(test.db)).toEqual(['freezing 0'])
  await leaseEnds()
  expect(await lifecycle.freezeDue(samples)).toMatchObject({ chunks: 0, taken: [] })
  expect(await states(test.db)).toEqual(['hot 0'])
  clock.set(parseInstant('2026-01-12T00:00:00Z'))
  expect(await lifecycle.freezeDue(samples)).toMatchObject({ chunks: 1, rows: 3 })
})

it('does not keep a chunk from expiring, or its rows from being erased', async () => {
  const { lifecycle, test } = fixture
  expect(await lifecycle.expire(samples, { cutoff: 10n ** 18n })).toMatchObject({
    chunks: 0,
    held: [{ reason: 'it is being moved' }],
  })
  await leaseEnds()
  const s1 = { kind: 'compare', operator: 'eq', ref: { column: 'sensor', path: [] }, value: 's1' } as never
  expect(await lifecycle.erase(samples, { where: s1, range: null })).toMatchObject({ rowsHot: 1 })
  expect(await states(test.db)).toEqual(['hot 0'])
  await test.db.execute(`update tidemark.chunk set state = 'freezing'`)
  expect(await lifecycle.expire(samples, { cutoff: 10n ** 18n })).toMatchObject({ chunks: 1, rows: 2 })
  const { rows } = await test.db.query(sql`select state, lease_owner, lease_until from tidemark.chunk`)
  expect(rows).toEqual([['dropped', null, null]])
})
