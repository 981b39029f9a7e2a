import { afterAll, expect, it } from 'vitest'
import { type StateSpec, states } from '../../src/aggregate/index.ts'
import { identifier } from '../../src/util/sql.ts'
import { createDuckDBLane, duckdbStates } from './duckdb-harness.ts'
import { buildState } from './harness.ts'

const lane = createDuckDBLane(1)
afterAll(() => lane.close())

it('squares that overflow to either side are not taken for none, by whatever way DuckDB is asked', async () => {
  const spec = { kind: 'moments', input: 'float8' } as StateSpec
  const greatest = '1.7976931348623157e+308'
  const forms = await lane.rows(
    'float8',
    [`-${greatest}`, greatest, '1', '3'],
    ['0', '1', '0', '1'],
    [0, 0, 1, 1],
  )
  for (const [, from] of forms!) {
    const quick = await duckdbStates(lane.duckdb, spec, from, { cell: identifier('cell'), quick: true })
    // null: to be asked again with the large values apart
    expect(quick.get(0)).toBeNull()
    expect(quick.get(1)).toMatchObject({ small: { count: 2, mean: 2, m2: 2 } })
    const whole = await duckdbStates(lane.duckdb, spec, from, { cell: identifier('cell') })
    expect(states.moments.encode(whole.get(0) as never)).toEqual(
      states.moments.encode(buildState(spec, [`-${greatest}`, greatest], ['0', '1']) as never),
    )
  }
})
