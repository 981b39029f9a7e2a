import { join, raw, type Sql, sql } from '../util/sql.ts'
import type { InputType, InputValue } from './contract.ts'
import { duckdbType } from './duckdb-values.ts'
import { md5First64 } from './md5.ts'
import { valueType } from './values.ts'

/**
 * Part of all cells, by a hash of their keys that every engine computes alike: `from` <= hash < `to`, of 0 to 2^32. Cells of more keys
 * than should be in memory at once are computed part by part.
 */
export interface KeySlice {
  readonly from: number
  readonly to: number
}

/** Hashes of keys are below it. */
export const sliceEnd = 2 ** 32

/** Nothing is between two values where one ends in what the next begins with: such keys are of one part, which does no harm. */
const separator = '|'

/** Whether keys of some types can be told apart by slices at all. */
export function canSlice(types: readonly InputType[]): boolean {
  return types.some((type) => type !== 'text[]')
}

/**
 * The condition that a row's keys are of the slice; nulls count like all others.
 *
 * @example
 * sliceSql('postgres', [{ type: 'text', value: identifier('host') }], { from: 0, to: 2 ** 31 })
 * // ('x' || substr(md5(convert_to(concat_ws('|', "host"), 'UTF8')), 1, 8))::bit(32)::int8 between 0 and 2147483647
 */
export function sliceSql(
  engine: 'postgres' | 'duckdb',
  keys: readonly { readonly type: InputType; readonly value: Sql }[],
  { from, to }: KeySlice,
): Sql {
  const texts = keys.flatMap(({ type, value }) => {
    if (type === 'text[]') return []
    const text =
      engine === 'postgres'
        ? valueType(type).textSql(valueType(type).ordered(value))
        : duckdbType(type).text(value)
    return [sql`case when ${value} is not null then ${text} end`]
  })
  const text = sql`concat_ws('${raw(separator)}', ${join(texts, ', ')})`
  const hash =
    engine === 'postgres'
      ? sql`('x' || substr(md5(convert_to(${text}, 'UTF8')), 1, 8))::bit(32)::int8`
      : sql`('0x' || left(md5(${text}), 8))::bigint`
  return sql`(${hash} between ${raw(String(from))} and ${raw(String(to - 1))})`
}

const hash = new Uint32Array(2)

/** The same of the keys of a cell. */
export function isInSlice(
  types: readonly InputType[],
  keys: readonly (InputValue | null)[],
  { from, to }: KeySlice,
): boolean {
  const texts = types.flatMap((type, i) => {
    const key = keys[i] ?? null
    return key === null || type === 'text[]' ? [] : [valueType(type).text(valueType(type).canonical(key))]
  })
  md5First64(texts.join(separator), hash)
  const [key] = hash as unknown as [number]
  return key >= from && key < to
}
