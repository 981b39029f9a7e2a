/** A call of locf or interpolate. `E` is what expressions are: trees, later their text. */
export interface Fill<E> {
  readonly kind: 'locf' | 'interpolate'
  /** Which value of the cells is filled, from 1. */
  readonly value: number
  readonly prev: E | null
  readonly next: E | null
  /** locf: treat_null_as_missing. */
  readonly skipsNulls: boolean
}

export interface Bound {
  readonly value: string
  readonly isIncluded: boolean
}

export interface ScaffoldParts {
  /** The query of the cells: bucket, key_1 …, value_1 … */
  readonly cells: string
  readonly width: string
  readonly timezone: string | null
  readonly lower: readonly Bound[]
  readonly upper: readonly Bound[]
  readonly keys: number
  readonly values: number
  readonly fills: readonly Fill<string>[]
}

/**
 * The filled rows as a query with names: `bucket`, `key_n`, `value_n` (null where there was no row) and `fill_n`. Each
 * step is one pass over rows that are sorted by group and bucket; nothing is joined.
 */
export function scaffold(parts: ScaffoldParts): string {
  const keys = numbered('key', parts.keys)
  const values = numbered('value', parts.values)
  const list = (...columns: readonly (string | readonly string[])[]): string => columns.flat().join(', ')
  const kind = '(select bucket from tidemark_cells limit 0)'
  const bound = ({ value, isIncluded }: Bound, whole: boolean): string =>
    `tidemark.gapfill_${isIncluded === whole ? 'at' : 'after'}(${kind}, ${value})`
  const lower = parts.lower.map((entry) => bound(entry, true))
  const upper = parts.upper.map((entry) => bound(entry, false))
  const zone = parts.timezone === null ? '' : `, ${parts.timezone}`

  const missing =
    keys.length === 0
      ? 'tidemark_buckets b'
      : `(select distinct ${list(keys)} from tidemark_cells) g cross join tidemark_buckets b`
  const steps = [
    `tidemark_cells as materialized (${parts.cells})`,
    // every bound holds: the latest start and the earliest finish
    `tidemark_bounds as (
      select ${lower.length > 1 ? `greatest(${list(lower)})` : lower[0]} as start,
        ${upper.length > 1 ? `least(${list(upper)})` : upper[0]} as finish)`,
    `tidemark_buckets as materialized (
      select buckets.bucket
      from tidemark_bounds t
        cross join lateral tidemark.gapfill_buckets(${kind}, ${parts.width}, t.start, t.finish${zone}) buckets(bucket))`,
    // cells first, so that they are the ones that stay; also those outside the bounds
    `tidemark_rows as (
      select distinct on (${list(keys, 'bucket')}) *
      from (
        select ${list(keys, 'bucket', 'true as is_cell', values)} from tidemark_cells
        union all
        select ${list(
          keys.map((key) => `g.${key}`),
          'b.bucket',
          'false',
          values.map(() => 'null'),
        )} from ${missing}
      ) cells_and_gaps
      order by ${list(keys, 'bucket', 'is_cell desc')})`,
  ]
  if (parts.fills.length === 0) {
    steps.push(`tidemark_filled as (select * from tidemark_rows order by ${list(keys, 'bucket')})`)
  } else {
    const fills = parts.fills.map((fill, i) => new FillSql(fill, i + 1, keys))
    steps.push(
      // how many cells came before a row, itself counted, and how many come after: what lies between two is one run
      `tidemark_runs as (
        select *, bucket = (select min(bucket) from tidemark_buckets) as is_start,
          bucket >= (select min(bucket) from tidemark_buckets) as is_inside,
          ${list(
            `count(*) filter (where is_cell) ${over(keys, 'bucket')} as before`,
            `count(*) filter (where is_cell) ${over(keys, 'bucket desc')} as after`,
            `row_number() ${over(keys, 'bucket desc')} = 1 as is_end`,
            fills.flatMap((fill) => fill.runs()),
          )}
        from tidemark_rows)`,
      `tidemark_edges as (select ${list(
        '*',
        fills.flatMap((fill) => fill.edges()),
      )} from tidemark_runs)`,
      `tidemark_lookups as (select ${list(
        '*',
        fills.flatMap((fill) => fill.lookups()),
      )} from tidemark_edges)`,
      `tidemark_filled as (
        select ${list(
          keys,
          'bucket',
          values,
          fills.map((fill) => fill.result()),
        )}
        from tidemark_lookups order by ${list(keys, 'bucket')})`,
    )
  }
  return `with ${steps.join(',\n')}\nselect * from tidemark_filled`
}

function over(by: readonly string[], order: string): string {
  return `over (${by.length > 0 ? `partition by ${by.join(', ')} ` : ''}order by ${order})`
}

function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${name}_${i + 1}`)
}

/** The columns of one fill in each step. */
class FillSql {
  readonly #fill: Fill<string>
  readonly #n: number
  readonly #value: string
  readonly #keys: readonly string[]
  readonly #before: string
  readonly #after: string

  constructor(fill: Fill<string>, n: number, keys: readonly string[]) {
    this.#fill = fill
    this.#n = n
    this.#value = `value_${fill.value}`
    this.#keys = keys
    this.#before = this.#run('bucket')
    this.#after = over([...keys, 'after'], 'bucket desc')
  }

  /** Over the rows from a cell to the next. */
  #run(order: string): string {
    return over([...this.#keys, this.#fill.skipsNulls ? `before_${this.#n}` : 'before'], order)
  }

  runs(): string[] {
    return this.#fill.skipsNulls
      ? [`count(${this.#value}) ${over(this.#keys, 'bucket')} as before_${this.#n}`]
      : []
  }

  /** The cell before, and for interpolate its bucket and the cell after. */
  edges(): string[] {
    const n = this.#n
    const left = `first_value(${this.#value}) ${this.#before} as left_${n}`
    if (this.#fill.kind === 'locf') return [left]
    return [
      left,
      `first_value(bucket) ${this.#before} as left_time_${n}`,
      `first_value(${this.#value}) ${this.#after} as right_${n}`,
      `first_value(bucket) ${this.#after} as right_time_${n}`,
    ]
  }

  /** prev is asked for where the first bucket has no value, next where no cell follows: once for each group. */
  lookups(): string[] {
    const { kind, prev, next, skipsNulls } = this.#fill
    const n = this.#n
    if (kind === 'locf') {
      if (prev === null) return []
      const isGap = skipsNulls ? '' : 'not is_cell and '
      return [`case when is_start and ${isGap}left_${n} is null then (${prev}) end as prev_${n}`]
    }
    const sample = (when: string, record: string, name: string): string[] => [
      `case when ${when} then tidemark.gapfill_sample(bucket, ${record}, 'f1') end as ${name}_time_${n}`,
      `case when ${when} then tidemark.gapfill_sample(${this.#value}, ${record}, 'f2') end as ${name}_${n}`,
    ]
    return [
      ...(prev === null ? [] : sample(`is_start and not is_cell and left_${n} is null`, prev, 'prev')),
      ...(next === null ? [] : sample('is_end and not is_cell and after = 0', next, 'next')),
    ]
  }

  result(): string {
    const { kind, prev, next, skipsNulls } = this.#fill
    const n = this.#n
    // what was looked up lies in one row of its run: put that one first
    const ofStart = (column: string): string =>
      `case when is_inside then first_value(${column}) ${this.#run('not is_start')} end`
    const ofEnd = (column: string): string =>
      `case when after = 0 then first_value(${column}) ${this.#after} end`
    if (kind === 'locf') {
      const own = skipsNulls ? `${this.#value} is not null` : 'is_cell'
      const carried = prev === null ? `left_${n}` : `coalesce(left_${n}, ${ofStart(`prev_${n}`)})`
      return `case when ${own} then ${this.#value} else ${carried} end as fill_${n}`
    }
    const side = (name: 'left' | 'right', looked: string | null): [time: string, value: string] =>
      looked === null
        ? [`${name}_time_${n}`, `${name}_${n}`]
        : name === 'left'
          ? [
              `case when left_${n} is null then ${ofStart(`prev_time_${n}`)} else left_time_${n} end`,
              `coalesce(left_${n}, ${ofStart(`prev_${n}`)})`,
            ]
          : [
              `case when right_${n} is null then ${ofEnd(`next_time_${n}`)} else right_time_${n} end`,
              `coalesce(right_${n}, ${ofEnd(`next_${n}`)})`,
            ]
    const [x0, y0] = side('left', prev)
    const [x1, y1] = side('right', next)
    const number = (time: string): string => `tidemark.gapfill_number(${time})`
    return `case when is_cell then ${this.#value} when ${y0} is not null and ${y1} is not null
      then tidemark.gapfill_between(${number('bucket')}, ${number(x0)}, ${number(x1)}, ${y0}, ${y1}) end as fill_${n}`
  }
}
