import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { createTidemark } from '../../src/engine.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase } from '../helpers/database.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), model: t.text(), status: t.text().default('ok') },
  time: 'time',
  chunk: '1 day',
})
const prices = hypertable('market.prices', {
  columns: { time: t.timestamptz(), symbol: t.text(), price: t.numeric() },
  time: 'time',
  primaryKey: ['symbol', 'time'],
  chunk: '1 day',
})

/** Statements of the page, in order, each with what it says that PostgreSQL answers. */
function statementsOf(page: string): { text: string; said: string[] }[] {
  const found: { text: string; said: string[] }[] = []
  for (const [, block] of page.matchAll(/^```sql\n([\s\S]*?)^```$/gm)) {
    for (const line of block!.trim().split('\n')) {
      const answer = /^-- (?:ERROR|HINT): {2}(.*)$/.exec(line)?.[1]
      if (answer === undefined) found.push({ text: line, said: [] })
      else found.at(-1)!.said.push(answer)
    }
  }
  return found
}

it('docs/guide/what-sql-sees.md tells what PostgreSQL answers, word by word', async () => {
  const test = await createTestDatabase({ empty: true })
  const root = await mkdtemp(join(tmpdir(), 'tidemark-docs-'))
  const tm = await createTidemark(defineConfig({ datasets: [requests, prices] }), {
    connectionString: test.connectionString,
    root,
  })
  const page = readFileSync(
    fileURLToPath(new URL('../../docs/guide/what-sql-sees.md', import.meta.url)),
    'utf8',
  )
  const statements = statementsOf(page)
  expect(statements.filter(({ said }) => said.length > 0).length).toBeGreaterThan(3)
  try {
    await tm.migrate()
    const days = [1, 2, 3, 4].map((day) => `2026-01-0${day}T06:00:00Z`)
    await tm.insert(
      requests,
      days.map((time) => ({ time, model: 'small', status: 'error' })),
    )
    await tm.insert(prices, [{ time: days[0]!, symbol: 'BTC', price: 61_724 }])
    await tm.freeze(requests.name, { to: '2026-01-03' })
    await tm.freeze(prices.name, { all: true })
    const connection = await test.connect()
    await connection.execute(`set timezone = 'UTC'`)
    for (const { text, said } of statements) {
      const answer = await connection.query(raw(text.replace(/;$/, ''))).then(
        () => [],
        (error: Error) => {
          const cause = error.cause as { message: string; hint?: string }
          return [cause.message, cause.hint].slice(0, said.length)
        },
      )
      expect(answer, text).toEqual(said)
    }
    // what the page says of reads: psql sees what is hot and late, the API everything
    const { rows } = await test.db.query(sql`select count(*)::int4 from metrics.requests`)
    expect(rows).toEqual([[3]])
    expect((await tm.query(requests, { select: { n: { fn: 'count' } } })).rows).toEqual([{ n: 5 }])
  } finally {
    await tm.close()
    await test.drop()
    await rm(root, { recursive: true, force: true })
  }
})
