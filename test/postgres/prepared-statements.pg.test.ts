import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { withReadSnapshot } from '../../src/hot/index.ts'
import { createDatabase, type Database, retry } from '../../src/postgres/index.ts'
import { raw, repeated, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

describe('statements that are asked again and again', () => {
  let test: TestDatabase
  let db: Database
  const opening = sql`select pg_current_snapshot()`
  const options = { opening, statementTimeoutMs: 10_000 }
  const ask = (n: number) => repeated(sql`select ${n}::int4 + 1 as next`)
  const prepared = async (): Promise<unknown[]> => {
    const { rows } = await db.query(
      sql`select statement from pg_prepared_statements order by prepare_time, statement`,
    )
    return rows.map(([text]) => text)
  }

  beforeAll(async () => {
    test = await createTestDatabase({ empty: true })
  })
  beforeEach(() => {
    db = createDatabase({ connectionString: test.connectionString, max: 1 })
    return () => db.close()
  })
  afterAll(() => test.drop())

  it('are parsed once for each connection, from the second batch on', async () => {
    for (let n = 0; n < 10; n++)
      expect((await db.reading(options, (reading) => reading.query(ask(n)))).rows).toEqual([[n + 1]])
    expect(await prepared()).toEqual(['select pg_current_snapshot()', 'select $1::int4 + 1 as next'])
    await db.query(sql`select 'another one'`)
    expect(await prepared()).toHaveLength(2)
  })

  it('are parsed again where somebody has thrown them away', async () => {
    for (let n = 0; n < 3; n++) await db.reading(options, (reading) => reading.query(ask(n)))
    for (const discard of ['discard all', 'deallocate all']) {
      await db.execute(discard)
      expect((await db.reading(options, (reading) => reading.query(ask(7)))).rows).toEqual([[8]])
      expect(await prepared()).toHaveLength(2)
    }
  })

  it('are bounded in number', async () => {
    for (let n = 0; n < 150; n++) {
      const one = repeated(raw(`select ${n} as n`))
      expect((await db.reading(options, (reading) => reading.query(one))).rows).toEqual([[n]])
    }
    expect((await prepared()).length).toBeLessThanOrEqual(65)
    expect(await prepared()).toContain('select pg_current_snapshot()')
  })

  it('may fail, and are asked again', async () => {
    const divide = (by: number) => repeated(sql`select 6 / ${by}::int4`)
    for (let round = 0; round < 4; round++) {
      expect((await db.reading(options, (reading) => reading.query(divide(2)))).rows).toEqual([[3]])
      await expect(db.reading(options, (reading) => reading.query(divide(0)))).rejects.toMatchObject({
        params: { sqlstate: '22012' },
      })
    }
    await db.reading(options, (reading) => reading.query(divide(2)))
    expect(await prepared()).toHaveLength(2)
  })

  it('give other columns when what they read has changed', async () => {
    await test.db.execute('create table growing (a int4)')
    const all = repeated(sql`select * from growing`)
    const read = () => db.reading(options, (reading) => reading.query(all))
    for (let n = 0; n < 3; n++) expect((await read()).columns).toEqual(['a'])
    await test.db.execute('alter table growing add column b text')
    expect((await read()).columns).toEqual(['a', 'b'])
  })

  it('are thrown away all together, also those that only a later batch would have used', async () => {
    const both = () =>
      db.reading(options, async (reading) => {
        await reading.query(ask(1))
        return (await reading.query(repeated(sql`select 'later'`))).rows
      })
    for (let n = 0; n < 3; n++) await both()
    await db.execute('discard all')
    expect(await both()).toEqual([['later']])
  })

  it('that give other columns in the midst of a transaction are worth another try of it', async () => {
    await test.db.execute('create table changing (a int4)')
    const all = repeated(sql`select * from changing`)
    const inSnapshot = () =>
      withReadSnapshot(db, { timeoutMs: 10_000 }, async (snapshot) => {
        await snapshot.query(sql`select 1`, null)
        return (await snapshot.query(all, null)).columns
      })
    const inTransaction = () =>
      retry({ what: 'reading', baseMs: 1 }, () =>
        db.transaction({}, async (connection) => (await connection.query(all)).columns),
      )
    for (const read of [inSnapshot, inTransaction]) {
      for (let n = 0; n < 3; n++) await read()
      await test.db.execute('alter table changing add column b text')
      expect(await read()).toEqual(['a', 'b'])
      await test.db.execute('alter table changing drop column b')
      for (let n = 0; n < 2; n++) expect(await read()).toEqual(['a'])
    }
  })
})
