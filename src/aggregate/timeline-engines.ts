import { join, raw, type Sql, sql } from '../util/sql.ts'
import type { EngineState, InputType, OrderedSource, StateInput, StateSpec } from './contract.ts'
import { duckdbType } from './duckdb-values.ts'
import { valueWhere } from './filtered.ts'
import type { Link, Segment, TimelineState } from './timeline.ts'
import { float8Sql, valueType } from './values.ts'

type Read = (key: readonly (string | null)[], segment: Segment) => TimelineState

/** How an engine writes what the statement is made of. */
interface Dialect {
  readonly double: (value: Sql) => Sql
  readonly text: (input: InputType, value: Sql) => Sql
  readonly secondsBetween: (from: Sql, to: Sql) => Sql
  readonly suffix: Sql
}

export function postgresTimeline(spec: StateSpec, link: Link, read: Read): EngineState {
  return shapeOf(spec, link, read, {
    double: (value) => float8Sql(spec.input as InputType, value),
    text: (input, value) => valueType(input).textSql(valueType(input).ordered(value)),
    secondsBetween: (from, to) => sql`date_part('epoch', ${to} - ${from})`,
    suffix: raw('::float8'),
  })
}

export function duckdbTimeline(spec: StateSpec, link: Link, read: Read): EngineState {
  return shapeOf(spec, link, read, {
    double: duckdbType(spec.input as InputType).double,
    text: (input, value) => duckdbType(input).text(value),
    secondsBetween: (from, to) => sql`((epoch_us(${to}) - epoch_us(${from})) / 1e6)`,
    suffix: raw('::double'),
  })
}

/**
 * Each row of the answer is a segment: the texts of its series, then from, first, to, last, links. `value` is written once in an
 * inner SELECT, because a filter, a cast and both limits look at it.
 */
function shapeOf(spec: StateSpec, link: Link, read: Read, dialect: Dialect): EngineState {
  const types = spec.series ?? []
  return {
    shape: 'ordered',
    values: ({ value, time, filter, series = [] }: StateInput) => [
      valueWhere(readingSql(dialect, dialect.double(value as Sql)), filter),
      time as Sql,
      ...types.map((input, i) => textSql(dialect, input, series[i] as Sql)),
    ],
    outer: (source) => (spec.readings ? readingsSql(source, dialect) : segmentsSql(source, link, dialect)),
    width: types.length + 5,
    read(values) {
      const [from, first, to, last, links] = values.slice(types.length) as [
        bigint,
        number,
        bigint,
        number,
        number,
      ]
      return read(values.slice(0, types.length) as (string | null)[], {
        from,
        first: first + 0,
        to,
        last: last + 0,
        links,
      })
    },
  }
}

/** Null where it is none: NaN, infinite, from 2^900 on; what is within 2^-900 of zero is zero. */
function readingSql({ suffix }: Dialect, double: Sql): Sql {
  return sql`case
    when abs(${double}) < 1.1830521861667747e-271${suffix} then 0e0${suffix}
    when abs(${double}) < 8.452712498170644e270${suffix} then ${double} end`
}

function textSql(dialect: Dialect, input: InputType, value: Sql): Sql {
  return sql`case when ${value} is not null then ${dialect.text(input, value)} end`
}

function readingsSql({ select, cells, values }: OrderedSource, { suffix }: Dialect): Sql {
  const [value, at, ...series] = values as [Sql, Sql, ...Sql[]]
  return sql`select ${join([...cells, ...series, at, value, at, value, sql`0e0${suffix}`], ', ')} from (${select}) readings`
}

function segmentsSql({ select, cells, values }: OrderedSource, link: Link, dialect: Dialect): Sql {
  const [value, at, ...series] = values as [Sql, Sql, ...Sql[]]
  const keys = [...cells, ...series]
  const partition = keys.length === 0 ? raw('') : sql`partition by ${join(keys, ', ')} `
  const seconds = dialect.secondsBetween(raw('at_before'), at)
  const links = {
    counter: sql`case when ${value} < before then before end`,
    locf: sql`before * ${seconds}`,
    linear: sql`(before * 5e-1 + ${value} * 5e-1) * ${seconds}`,
  }[link]
  return sql`
    select ${join(
      [
        ...keys,
        sql`min(${at})`,
        sql`max(case when at_before is null then ${value} end)`,
        sql`max(${at})`,
        sql`max(case when at_after is null then ${value} end)`,
        sql`coalesce(sum(${links}), 0e0${dialect.suffix})`,
      ],
      ', ',
    )}
    from (
      select ${join([...keys, at, value], ', ')},
        lag(${at}) over in_order as at_before, lag(${value}) over in_order as before,
        lead(${at}) over in_order as at_after
      from (${select}) readings
      window in_order as (${partition}order by ${at}, ${value})
    ) linked${keys.length === 0 ? raw(' having count(*) > 0') : sql` group by ${join(keys, ', ')}`}`
}
