import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'
import exampleConfig from '../../examples/rank-tracker/tidemark.config.ts'
import * as api from '../../src/index.ts'
import type { TidemarkConfig } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { compiled } from '../helpers/compiled.ts'
import { createTestDatabase } from '../helpers/database.ts'

const bench = (file: string) => import(new URL(`../../bench/http/${file}`, import.meta.url).href)
const seed = Math.floor(Math.random() * 2 ** 31)

it('the benchmark over HTTP measures what the rank tracker of the examples declares', async () => {
  const { rankConfig } = await bench('tables.mjs')
  // its boards are no part of it
  const declared = ({ boards: _, ...rest }: TidemarkConfig) => rest
  expect(declared(rankConfig(api))).toEqual(declared(exampleConfig))
})

it(`users of the benchmark over HTTP get every answer, that of the plain table, and every push (seed ${seed})`, async () => {
  const [{ runHttp }, { loadSet }, { rankConfig }, report] = await Promise.all(
    ['run.mjs', 'load.mjs', 'tables.mjs', 'report.mjs'].map(bench),
  )
  const test = await createTestDatabase()
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-bench-test-'))
  const { connectionString, db } = test
  const note = () => {}
  const set = { seed, keywords: 60, days: 740 }
  // loaded the day before yesterday: the days since come to it
  const tm = await api.createTidemark(rankConfig(api), { connectionString, root: dir })
  const before = { ...{ tm, db, dir, set, note }, nowMs: Date.now() - 2 * 86_400_000 }
  expect(await loadSet(before)).toMatchObject({ plain: 60 * 740, wasThere: false })
  await tm.close()
  const result = await runHttp({
    ...{ root: `${pathToFileURL(dirname(await compiled('src/index.ts'))).href}/`, api },
    ...{ db, connectionString, dir, set, note },
    plan: {
      ...{
        users: 20,
        thinkMs: 200,
        warmUp: 0.5,
        mix: 2.5,
        imports: 0.6,
        importEveryMs: 300,
        importRows: 500,
      },
      ...{ rounds: 1, reads: 0.5 },
    },
  })
  const { loaded, together, beside, turns } = result
  expect(loaded).toMatchObject({ plain: 60 * 742, wasThere: true })
  expect(loaded.cold).toBeGreaterThan(60 * 600)
  expect(loaded.hot + loaded.cold).toBe(loaded.plain)
  const { operations, firstErrors } = report.figuresOf(together)
  expect(firstErrors).toEqual({})
  const always = ['add', 'dashboardComputed', 'history', 'ranking', 'remove', 'settings', 'update', 'view']
  expect(Object.keys(operations)).toEqual(expect.arrayContaining(always))
  // each write to settings is shown by both pages of its agency
  expect(operations.settingsPush.count).toBe(2 * operations.settings.count)
  expect(operations.rankingPush.count).toBe(2 * operations.ranking.count)
  expect(report.figuresOf(beside)).toMatchObject({ operations: { import: { count: 2, errors: 0 } } })
  expect(report.ratioTable(turns)).toMatchObject({
    errors: { tidemark: 0, plain: 0 },
    figures: { view: { tidemark: { count: expect.any(Number) } } },
  })
  // what its users have written is gone again
  const { rows } = await db.query(sql`select count(*)::int4 from keywords`)
  expect(rows).toEqual([[60]])
  await test.drop()
  await rm(dir, { recursive: true, force: true })
}, 240_000)
