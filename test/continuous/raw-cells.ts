import { states } from '../../src/aggregate/index.ts'
import { bucketColumn, cellTableOf } from '../../src/continuous/cell-table.ts'
import { cellRelation } from '../../src/continuous/cells.ts'
import type { RefreshContext } from '../../src/continuous/refresh-version.ts'
import { readValidity } from '../../src/continuous/validity.ts'
import type { AggregateVersion } from '../../src/continuous/version.ts'
import { withReadSnapshot } from '../../src/hot/index.ts'
import { type Cell, readCells } from '../../src/query/index.ts'
import { formatInstant, type Instant, maxInstant, minInstant, type TimeRange } from '../../src/time/index.ts'
import { identifier, join, sql } from '../../src/util/sql.ts'

const all: TimeRange = { from: minInstant, to: maxInstant }

/** Cells as the table has them. */
export async function storedCells(
  query: (statement: ReturnType<typeof sql>) => Promise<{ readonly rows: readonly (readonly unknown[])[] }>,
  version: AggregateVersion,
): Promise<Cell[]> {
  const table = cellTableOf(version.materialization)
  const columns = [
    { column: bucketColumn },
    ...table.keys,
    ...table.states.flatMap((state) => state.columns),
  ].map(({ column }) => identifier(column))
  const { rows } = await query(sql`select ${join(columns, ', ')} from ${cellRelation(version)}`)
  return rows.map(([bucket, ...values]) => {
    let at = table.keys.length
    return {
      bucket: bucket as Instant,
      keys: values.slice(0, at) as Cell['keys'],
      states: table.states.map(({ stored, columns: own }) => {
        const state = stored.read(values.slice(at, at + own.length))
        at += own.length
        return state
      }),
    }
  })
}

/** Where valid cells are not what raw rows give, in one snapshot; `tiers` of the context must not read cells. */
export async function differences(context: RefreshContext, version: AggregateVersion): Promise<string[]> {
  const { base, bucket, keys, where, states: requests } = version.materialization
  return withReadSnapshot(context.db, { timeoutMs: 60_000, dataset: base }, async (snapshot) => {
    const query = (statement: ReturnType<typeof sql>) => snapshot.query(statement, null)
    const stored = await storedCells(query, version)
    const [validity] = await readValidity(query, [version], null)
    const { cells } = await readCells(
      { dataset: base, bucket, by: keys, where, states: requests, range: all },
      { ...context, snapshot, signal: null },
    )
    const isValid = (cell: Cell): boolean =>
      !validity!.invalid.some(
        ({ tenant, range }) =>
          (cell.bucket as bigint) < range.to &&
          bucketEnd(cell) > range.from &&
          (tenant === null || base.tenant === null || String(cell.keys[0]) === tenant),
      )
    const bucketEnd = (cell: Cell): bigint => (cell.bucket as bigint) + 1n
    const text = (cell: Cell): string =>
      `${formatInstant(cell.bucket as bigint)} ${JSON.stringify(cell.keys, (_, value) => (typeof value === 'bigint' ? String(value) : value))} ${cell.states
        .map((state, i) => Buffer.from(states[requests[i]!.spec.kind].encode(state)).toString('hex'))
        .join(' ')}`
    const expected = new Set(cells.filter(isValid).map(text))
    const found = new Set(stored.filter(isValid).map(text))
    return [
      ...[...expected].filter((one) => !found.has(one)).map((one) => `missing ${one}`),
      ...[...found].filter((one) => !expected.has(one)).map((one) => `too much ${one}`),
    ]
  })
}
