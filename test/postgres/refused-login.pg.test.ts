import { afterAll, beforeAll, expect, it } from 'vitest'
import { createDatabase } from '../../src/postgres/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
})
afterAll(() => test.drop())

it.each<[string, (url: URL) => void, RegExp]>([
  [
    'a database that does not exist',
    (url) => {
      url.pathname = '/no_such_database'
    },
    /"no_such_database" does not exist; create that database/,
  ],
  [
    'a user that does not exist',
    (url) => {
      url.username = 'nobody_at_all'
      url.password = 'wrong'
    },
    /"nobody_at_all".*; correct the user/,
  ],
])('%s is not worth another try, and the message says what is', async (_name, change, message) => {
  const url = new URL(test.connectionString)
  change(url)
  const db = createDatabase({ connectionString: url.href, max: 1 })
  try {
    await expect(db.query(sql`select 1`)).rejects.toMatchObject({
      code: 'TM_LOGIN',
      retryable: false,
      message: expect.stringMatching(message),
    })
  } finally {
    await db.close()
  }
})
