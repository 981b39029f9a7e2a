import { afterEach, beforeEach, expect, it } from 'vitest'
import { printSqlInline } from '../../src/util/sql.ts'
import { createFixture, day, type Fixture, readings, states } from './fixture.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(readings)
})
afterEach(() => fixture.drop())

it('a partition that another worker drops between two looks is no failure of a reclaim', async () => {
  const { another, lifecycle, writer } = fixture
  const { db } = fixture.test
  await writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  let isDropped = false
  const slow = another({
    db: {
      query: (statement, options) => db.query(statement, options),
      withConnection: (use, options) => db.withConnection(use, options),
      transaction: (options, use) => db.transaction(options, use),
      reading: (options, use) => db.reading(options, use),
      serverVersion: () => db.serverVersion(),
      close: () => db.close(),
      async execute(script) {
        await db.execute(script)
        if (isDropped || typeof script === 'string' || !printSqlInline(script).startsWith('vacuum')) return
        const other = another({ settings: { emptyShare: 0 } })
        await expect.poll(async () => (await other.reclaim(readings)).dropped, { timeout: 20_000 }).toBe(1)
        isDropped = true
      },
    },
  })
  expect(await slow.reclaim(readings)).toMatchObject({ reclaimed: 1, bytes: 0, held: [] })
  expect(isDropped).toBe(true)
  expect(await states(db)).toEqual(['cold 1 -'])
})
