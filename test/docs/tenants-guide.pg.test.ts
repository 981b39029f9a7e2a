import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { count } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase } from '../helpers/database.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), tenant: t.text(), model: t.text(), latencyMs: t.float8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  primaryKey: ['tenant', 'model', 'time'],
})
const hourly = continuousAggregate('metrics.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count() },
})

interface Line {
  readonly login: string
  readonly text: string
  /** What the page says that comes of it: a value, a number of rows that were touched, or an error. */
  said: string | null
}

function linesOf(page: string): Line[] {
  const found: Line[] = []
  for (const [, block] of page.matchAll(/^```sql\n([\s\S]*?)^```$/gm)) {
    let login = ''
    for (const line of block!.trim().split('\n')) {
      const as = /^-- as (?:a )?(\w+)$/.exec(line)?.[1]
      const error = /^-- (ERROR: {2}.*)$/.exec(line)?.[1]
      const [text, said] = line.split(/; -- /)
      if (as !== undefined) login = as
      else if (error !== undefined) found.at(-1)!.said = error
      else found.push({ login, text: text!.replace(/;$/, ''), said: said ?? null })
    }
  }
  return found
}

it('docs/guide/tenants.md tells what each login sees, word by word', async () => {
  const test = await createTestDatabase()
  const root = await mkdtemp(join(tmpdir(), 'tidemark-docs-'))
  const config = defineConfig({ datasets: [requests, hourly] })
  const tm = await createTidemark(config, { connectionString: test.connectionString, root })
  const page = readFileSync(fileURLToPath(new URL('../../docs/guide/tenants.md', import.meta.url)), 'utf8')
  const lines = linesOf(page)
  const logins = new Map<string, Database>([['superuser', test.db]])
  const databaseOf = (login: string): Database => {
    const url = new URL(test.connectionString)
    url.username = login
    const db = logins.get(login) ?? createDatabase({ connectionString: url.href, max: 1 })
    logins.set(login, db)
    return db
  }
  const roles = [...new Set(lines.map(({ login }) => login))].filter((login) => login !== 'superuser')
  expect(roles).toEqual(['acme_dashboard', 'billing_app'])
  try {
    await tm.migrate()
    const now = Date.now()
    await tm.insert(
      requests,
      ['acme', 'acme', 'globex'].map((tenant, i) => ({
        time: new Date(now - i * 1000),
        tenant,
        model: 'm',
        latencyMs: 1,
      })),
    )
    await tm.refresh('metrics.hourly')
    while (lines.length > 0) {
      const { login } = lines[0] as Line
      // of one login, on one connection: settings and transactions go on from line to line
      const end = lines.findIndex((line) => line.login !== login)
      const session = lines.splice(0, end === -1 ? lines.length : end)
      await databaseOf(login).withConnection(async (connection) => {
        for (const { text, said } of session) {
          const answer = await connection.query(raw(text)).then(
            ({ rows, rowCount }) => String(rows[0]?.[0] ?? rowCount),
            (error: Error) => `ERROR:  ${(error.cause as Error).message}`,
          )
          if (said === null) expect(answer, text).not.toMatch(/^ERROR/)
          else expect(answer, text).toBe(said)
        }
      })
    }
  } finally {
    for (const [login, db] of logins) if (login !== 'superuser') await db.close()
    await test.db.execute(roles.map((role) => `drop owned by ${role}; drop role ${role}`).join(';'))
    await tm.close()
    await test.drop()
    await rm(root, { recursive: true, force: true })
  }
})
