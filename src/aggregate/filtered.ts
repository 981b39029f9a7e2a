import { join, type Sql, sql } from '../util/sql.ts'

/** An aggregate call with its FILTER clause; null conditions are left out. */
export function filtered(aggregate: Sql, ...conditions: readonly (Sql | null)[]): Sql {
  const present = conditions.filter((condition) => condition !== null)
  if (present.length === 0) return aggregate
  return sql`${aggregate} filter (where ${join(
    present.map((condition) => sql`(${condition})`),
    ' and ',
  )})`
}

/**
 * An expression that is null where a condition does not hold. As a key it leaves the row out. As the argument of an
 * aggregate it stands for FILTER in DuckDB, which for each FILTER copies the arguments of all aggregates: ten deviations
 * with six filters each took 276 ms of processor time over 432,000 rows, with CASE 130.
 */
export function valueWhere(value: Sql, ...conditions: readonly (Sql | null)[]): Sql {
  const present = conditions.filter((condition) => condition !== null)
  if (present.length === 0) return value
  return sql`case when ${join(
    present.map((condition) => sql`(${condition})`),
    ' and ',
  )} then ${value} end`
}
