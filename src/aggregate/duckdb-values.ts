import { type Sql, sql } from '../util/sql.ts'
import type { InputType } from './contract.ts'

/**
 * DuckDB's side of an input type. Its order is PostgreSQL's for all of them as they are: NaN is greatest and equals
 * itself, -0 is 0, text and uuid go by bytes. A literal with a fraction is DECIMAL unless it has an exponent.
 */
interface DuckDBValueType {
  /** The nearest double. */
  double(value: Sql): Sql
  /** `ValueType.text` of a value that is grouped by. */
  text(value: Sql): Sql
}

const native = (value: Sql): Sql => sql`(${value})`

const float: DuckDBValueType = {
  double: (value) => sql`(${value})::double`,
  // BIT is the double's own bits; adding zero makes -0 the zero; a NaN may carry any payload
  text: (value) =>
    sql`case when isnan(${value}) then '9221120237041090560' else ((${value})::double + 0e0)::bit::bigint::varchar end`,
}

const integer: DuckDBValueType = {
  double: (value) => sql`(${value})::double`,
  text: (value) => sql`(${value})::varchar`,
}

const plainText: DuckDBValueType = { double: native, text: native }

const types: Record<Exclude<InputType, 'text[]'>, DuckDBValueType> = {
  bool: integer,
  int2: integer,
  int4: integer,
  int8: integer,
  float4: float,
  float8: float,
  'json-number': float,
  numeric: {
    // straight from DECIMAL is off by one in the last bit; the text is read to the nearest
    double: (value) => sql`(${value})::varchar::double`,
    text: (value) =>
      sql`case when contains((${value})::varchar, '.') then rtrim(rtrim((${value})::varchar, '0'), '.') else (${value})::varchar end`,
  },
  text: plainText,
  'json-text': plainText,
  uuid: { double: native, text: (value) => sql`(${value})::varchar` },
  date: {
    double: native,
    text: (value) =>
      sql`case when isfinite(${value}) then ((${value}) - date '1970-01-01')::varchar when (${value}) > date '1970-01-01' then '2147483647' else '-2147483648' end`,
  },
  timestamptz: {
    double: native,
    text: (value) =>
      sql`case when isfinite(${value}) then epoch_us(${value})::varchar when (${value}) > 'epoch'::timestamptz then '9223372036854775807' else '-9223372036854775808' end`,
  },
}

export function duckdbType(input: InputType): DuckDBValueType {
  return types[input as keyof typeof types]
}
