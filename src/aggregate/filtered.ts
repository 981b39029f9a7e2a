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

/** A key expression that is null, and so leaves the row out, where the filter does not hold. */
export function keyWhere(filter: Sql | null, key: Sql): Sql {
  return filter === null ? key : sql`case when (${filter}) then ${key} end`
}
