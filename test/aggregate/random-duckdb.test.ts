import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type AggregateState, type StateSpec, states } from '../../src/aggregate/index.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import { arbitraryRows, type Row } from './arbitraries.ts'
import { createDuckDBLane, decimalType, duckdbStates } from './duckdb-harness.ts'
import { buildState } from './harness.ts'
import { allSpecs, expectSame } from './same.ts'

const seed = Number(Date.now() % 2 ** 31)

/** A column of a file has one scale and no special values; what does not fit becomes null. */
function asColumn(spec: StateSpec, rows: readonly Row[]): Row[] {
  if (spec.input !== 'numeric') return [...rows]
  return rows.map(({ value, time }) => {
    if (value === null || !decimalType([value])) return { value: null, time }
    const [whole, fraction = ''] = value.replace(/^-?/, '').split('.')
    const text = `${whole!.slice(-22).replace(/^0+(?=\d)/, '')}.${fraction.slice(0, 6).padEnd(6, '0')}`
    return { value: value.startsWith('-') && /[1-9]/.test(text) ? `-${text}` : text, time }
  })
}

function build(spec: StateSpec, rows: readonly Row[]): AggregateState {
  return buildState(
    spec,
    rows.map((row) => row.value),
    rows.map((row) => row.time),
  )
}

describe.each([1, 2])('%i threads', (threads) => {
  const lane = createDuckDBLane(threads)
  afterAll(() => lane.close())

  it.each(allSpecs())(
    '%s: DuckDB and TypeScript compute the same state of each of 60 random groups',
    async (_, spec) => {
      const groups = fc
        .sample(arbitraryRows(spec.input as never, 40), { seed, numRuns: 60 })
        .map((group) => asColumn(spec, group))
      // 50 times the rows of one group: more than one row group and one vector
      groups.push(Array.from({ length: 50 }, () => groups.find((group) => group.length > 20) ?? []).flat())
      const all = groups.flatMap((group, i) => group.map((row) => ({ ...row, cell: i === 0 ? null : i })))
      const forms = await lane.rows(
        spec.input,
        all.map((row) => row.value),
        all.map((row) => row.time),
        all.map((row) => row.cell),
      )
      for (const [form, from] of forms!)
        for (const quick of [false, true]) {
          const found = await duckdbStates(lane.duckdb, spec, from, { cell: identifier('cell'), quick })
          groups.forEach((group, i) => {
            const computed = found.get(i === 0 ? null : i)
            if (computed === null) {
              expect(quick).toBe(true)
              return
            }
            try {
              expectSame(spec, computed ?? states[spec.kind].create(spec), build(spec, group), group)
            } catch (error) {
              throw new Error(`seed ${seed}, ${form}, quick ${quick}, group ${i}: ${JSON.stringify(group)}`, {
                cause: error,
              })
            }
          })
          expect(found.size).toBeGreaterThan(40)
        }
    },
  )

  it.each(allSpecs())('%s: a filtered state holds only the rows that match', async (_, spec) => {
    const group = asColumn(
      spec,
      fc.sample(arbitraryRows(spec.input as never, 60), { seed, numRuns: 5 }).flat(),
    )
    const forms = await lane.rows(
      spec.input,
      group.map((row) => row.value),
      group.map((row) => row.time),
    )
    for (const [, from] of forms!) {
      const found = await duckdbStates(lane.duckdb, spec, from, { filter: sql`id % ${3}::integer = 0` })
      const kept = group.filter((_row, i) => (i + 1) % 3 === 0)
      expectSame(spec, found.get(null) ?? states[spec.kind].create(spec), build(spec, kept), kept)
    }
  })
})
