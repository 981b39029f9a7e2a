import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { states } from '../../src/aggregate/index.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { arbitraryRows } from './arbitraries.ts'
import { buildState, postgresStates, rowsOf } from './harness.ts'
import { allSpecs, expectSame } from './same.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})

const seed = Number(Date.now() % 2 ** 31)

describe.each(allSpecs())('%s', (_name, spec) => {
  it('PostgreSQL and TypeScript compute the same state of each of 60 random groups', async () => {
    const rows = arbitraryRows(spec.input as never, 40)
    const groups = fc.sample(rows, { seed, numRuns: 60 })
    const all = groups.flatMap((group, i) => group.map((row) => ({ ...row, cell: i === 0 ? null : i })))
    const found = await postgresStates(
      test.db,
      spec,
      rowsOf(
        spec.input,
        all.map((row) => row.value),
        all.map((row) => row.time),
        all.map((row) => row.cell),
      ),
      { cell: identifier('cell') },
    )
    groups.forEach((group, i) => {
      const built = buildState(
        spec,
        group.map((row) => row.value),
        group.map((row) => row.time),
      )
      const computed = found.get(i === 0 ? null : i) ?? states[spec.kind].create(spec)
      try {
        expectSame(spec, computed, built, group)
      } catch (error) {
        throw new Error(`seed ${seed}, group ${JSON.stringify(group)}`, { cause: error })
      }
    })
    expect(found.size).toBeGreaterThan(40)
  })

  it('a filtered state holds only the rows that match', async () => {
    const group = fc.sample(arbitraryRows(spec.input as never, 60), { seed, numRuns: 1 })[0]!
    const found = await postgresStates(
      test.db,
      spec,
      rowsOf(
        spec.input,
        group.map((row) => row.value),
        group.map((row) => row.time),
      ),
      { filter: sql`id % ${3}::int4 = 0` },
    )
    const kept = group.filter((_, i) => (i + 1) % 3 === 0)
    const built = buildState(
      spec,
      kept.map((row) => row.value),
      kept.map((row) => row.time),
    )
    expectSame(spec, found.get(null) ?? states[spec.kind].create(spec), built, kept)
  })
})
