import { TidemarkError } from '../util/errors.ts'
import { empty, identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { EngineState, KeyedSource, OrderedSource, StateInput } from './contract.ts'

export interface KeyedRows {
  /** The bucket and group expressions over the rows; they come out in this order. */
  readonly cells: readonly Sql[]
  /** What follows `from`: a table, or a subselect with an alias. */
  readonly from: Sql
  /** Conditions for all rows (range, where of the query); null for none. */
  readonly where: Sql | null
}

/**
 * The whole statement of a keyed state: the level grouped by (cell, key), and around it what the state makes of it.
 *
 * @example
 * const statement = keyedSelect(shape, { value, time: null, filter: null }, { cells: [bucket], from, where: null })
 * // select "c0", array_agg(…) … from (select bucket as "c0", … as "key", count(*) as "n0" … group by 1, 2) …
 */
export function keyedSelect(
  shape: Extract<EngineState, { shape: 'keyed' }>,
  input: StateInput,
  rows: KeyedRows,
): Sql {
  if (shape.prepare !== undefined && input.value !== null) return preparedSelect(shape, input, rows)
  const cells = rows.cells.map((_, i) => identifier(`c${i}`))
  const inner = shape.inner(input)
  const innerNames = inner.map((_, i) => identifier(`n${i}`))
  const key = identifier('key')
  const list = [
    ...rows.cells.map((cell, i) => sql`${cell} as ${cells[i]}`),
    sql`${shape.key(input)} as ${key}`,
    ...inner.map((aggregate, i) => sql`${aggregate} as ${innerNames[i]}`),
  ]
  // by position: an expression with parameters would not be recognised as the same one in GROUP BY
  const positions = Array.from({ length: cells.length + 1 }, (_, i) => String(i + 1)).join(', ')
  const where = rows.where === null ? empty : sql` where ${rows.where}`
  const grouped = sql`select ${join(list, ', ')} from ${rows.from}${where} group by ${raw(positions)}`
  const select = sql`select * from (${grouped}) grouped where ${key} is not null`
  return shape.outer({ select, cells, key, inner: innerNames } satisfies KeyedSource)
}

/**
 * The whole statement of an ordered state: the rows, and around them what the state makes of their order.
 *
 * @example
 * const statement = orderedSelect(shape, { value, time, filter: null, series: [host] }, { cells: [bucket], from, where: null })
 */
export function orderedSelect(
  shape: Extract<EngineState, { shape: 'ordered' }>,
  input: StateInput,
  rows: KeyedRows,
): Sql {
  return sql`${orderedRows(shape, input, rows)} limit ${raw(String(maxOrderedRows + 1))}`
}

/** The same without a limit, for what goes on with it in SQL. */
export function orderedRows(
  shape: Extract<EngineState, { shape: 'ordered' }>,
  input: StateInput,
  rows: KeyedRows,
): Sql {
  const cells = rows.cells.map((_, i) => identifier(`c${i}`))
  const given = shape.values(input)
  const values = given.map((_, i) => identifier(`v${i}`))
  const list = [
    ...rows.cells.map((cell, i) => sql`${cell} as ${cells[i]}`),
    ...given.map((value, i) => sql`${value} as ${values[i]}`),
  ]
  const where = rows.where === null ? empty : sql` where ${rows.where}`
  const inner = sql`select ${join(list, ', ')} from ${rows.from}${where}`
  const select = sql`select * from (${inner}) valued where ${values[0]} is not null`
  return shape.outer({ select, cells, values } satisfies OrderedSource)
}

/** Rows of the answer to one statement of an ordered state: series of all cells, or readings. */
const maxOrderedRows = 1_000_000

/** @throws TidemarkError TM_LIMIT when the statement of an ordered state has more rows than are taken. */
export function assertOrderedRows(shape: EngineState, rows: number): void {
  if (shape.shape === 'ordered' && rows > maxOrderedRows)
    throw new TidemarkError('TM_LIMIT', {
      what: 'the series of all cells, or the readings where late rows lie among others',
      value: `more than ${maxOrderedRows}`,
      limit: String(maxOrderedRows),
      todo: 'ask for a shorter range, a coarser bucket or a narrower filter',
    })
}

/** The statement of a state that has one of its own. */
export function stateSelect(
  shape: Exclude<EngineState, { shape: 'columns' }>,
  input: StateInput,
  rows: KeyedRows,
): Sql {
  return shape.shape === 'keyed' ? keyedSelect(shape, input, rows) : orderedSelect(shape, input, rows)
}

function preparedSelect(
  shape: Extract<EngineState, { shape: 'keyed' }>,
  input: StateInput,
  rows: KeyedRows,
): Sql {
  const value = shape.prepare?.(input.value ?? empty) ?? empty
  const names = rows.cells.map((_, i) => identifier(`c${i}`))
  const conditions = [rows.where, input.filter].filter((condition) => condition !== null)
  const where =
    conditions.length === 0
      ? empty
      : sql` where ${join(
          conditions.map((condition) => sql`(${condition})`),
          ' and ',
        )}`
  const list = [...rows.cells.map((cell, i) => sql`${cell} as ${names[i]}`), sql`${value} as prepared`]
  return keyedSelect(
    { ...shape, prepare: undefined },
    { value: identifier('prepared'), time: null, filter: null },
    {
      cells: names,
      from: sql`(select ${join(list, ', ')} from ${rows.from}${where} ${shape.fence ?? empty}) rows`,
      where: null,
    },
  )
}

/** The cells as the beginning of a longer list. */
export function listCells(cells: readonly Sql[]): Sql {
  return cells.length === 0 ? empty : sql`${join(cells, ', ')}, `
}

/** Nothing where all rows are of one cell. */
export function groupByCells(cells: readonly Sql[]): Sql {
  return cells.length === 0 ? empty : sql` group by ${join(cells, ', ')}`
}

/** One row for each cell of what is keyed. */
export function selectByCell(
  { select, cells }: Pick<KeyedSource, 'select' | 'cells'>,
  columns: readonly Sql[],
): Sql {
  return sql`select ${join([...cells, ...columns], ', ')} from (${select}) keyed${groupByCells(cells)}`
}
