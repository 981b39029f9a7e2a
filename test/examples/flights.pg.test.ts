import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { avg, count, createTidemark, max, min } from 'tidemark'
import { expect, it } from 'vitest'
import config, { flights } from '../../examples/flights/tidemark.config.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase } from '../helpers/database.ts'
import { askBoards } from './ask-boards.ts'

const file = join(
  dirname(createRequire(import.meta.url).resolve('vega-datasets')),
  '../data/flights-3m.parquet',
)

it('the flights of the demo import from their file, and the answers are those of plain SQL', async () => {
  const test = await createTestDatabase({ empty: true })
  const root = await mkdtemp(join(tmpdir(), 'tidemark-flights-'))
  const tm = await createTidemark(config, { connectionString: test.connectionString, root })
  try {
    await tm.migrate()
    const report = await tm.import(flights.name, file, { timeZone: 'UTC', limit: 30_000 })
    expect(report).toMatchObject({ rows: 30_000, dead: 0 })
    const { rows } = await tm.query(flights, {
      by: ['origin'],
      select: {
        n: count(),
        late: count({ where: { delay: { gt: 60 } } }),
        mean: avg('distance'),
        first: min('date'),
        last: max('date'),
      },
      order: ['-n'],
      limit: 5,
    })
    const naive = await test.db.query(
      raw(`select origin, count(*)::int4, count(*) filter (where delay > 60)::int4, avg(distance)::float8
        from demo.flights group by origin order by 2 desc, origin limit 5`),
    )
    expect(rows.map((r) => [r.origin, r.n, r.late])).toEqual(naive.rows.map((row) => row.slice(0, 3)))
    for (const [i, { mean }] of rows.entries()) expect(mean).toBeCloseTo(naive.rows[i]?.[3] as number, 9)
    const frozen = await tm.freeze(flights.name, { all: true })
    expect(frozen).toMatchObject({ rows: 30_000, failed: [] })
    expect(frozen.bytes).toBeLessThan(frozen.bytesBefore / 4)
    const again = await tm.query(flights, {
      by: ['origin'],
      select: { n: count(), late: count({ where: { delay: { gt: 60 } } }), mean: avg('distance') },
      order: ['-n'],
      limit: 5,
    })
    expect(again.rows).toEqual(rows.map(({ origin, n, late, mean }) => ({ origin, n, late, mean })))
    expect(new Set(again.plan.parts.map(({ source }) => source))).toContain('cold')
    const newest = await tm.query(flights, { latestBy: ['origin'], columns: ['date', 'origin'] })
    const shown = await askBoards(tm as never, 'flights')
    expect(Object.entries(shown).filter(([, count]) => count === 0)).toEqual([])
    expect(newest.rows.find((r) => r.origin === rows[0]?.origin)?.date).toBe(rows[0]?.last)
  } finally {
    await tm.close()
    await test.drop()
    await rm(root, { recursive: true, force: true })
  }
})
