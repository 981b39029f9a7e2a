import type { ColumnDefault, ColumnType } from './definition.ts'
import type { InputForm } from './forms.ts'

/** Any column at all. What tables take: `Column` itself is invariant in its types because of `default`. */
export interface AnyColumn {
  readonly [columnSpec]: ColumnSpec
}

/**
 * A column as it is declared, not yet checked: `hypertable()` and `table()` check it where its name is known. Immutable:
 * every method gives a new one.
 */
export interface Column<
  Type extends ColumnType = ColumnType,
  Nullable extends boolean = boolean,
  HasDefault extends boolean = boolean,
  Json = unknown,
> {
  /** May hold null; and may be left out of inserted rows. Columns are NOT NULL otherwise. */
  nullable(): Column<Type, true, HasDefault, Json>
  /** Value of rows that leave the column out. */
  default(value: InputForm<Type, Json>): Column<Type, Nullable, true, Json>
  /** SQL expression that PostgreSQL evaluates for each row that leaves the column out: `now()`, `gen_random_uuid()`. */
  defaultSql(expression: string): Column<Type, Nullable, true, Json>
  /** Kept in the database as the column's comment. */
  comment(text: string): Column<Type, Nullable, HasDefault, Json>
  /** What was declared. For the functions that build tables. */
  readonly [columnSpec]: ColumnSpec<Type, Nullable, HasDefault, Json>
}

/**
 * Registered, so that a configuration that was loaded through another copy of this module (a TypeScript loader beside
 * the compiled package) is still understood.
 */
export const columnSpec: unique symbol = Symbol.for('tidemark.column') as never

export interface ColumnSpec<
  Type extends ColumnType = ColumnType,
  Nullable extends boolean = boolean,
  HasDefault extends boolean = boolean,
  Json = unknown,
> {
  readonly type: Type
  readonly isNullable: Nullable
  readonly default: ColumnDefault | null
  readonly precision: number | null
  readonly scale: number | null
  readonly comment: string | null
  /** Types only, never there. */
  readonly phantom?: { readonly hasDefault: HasDefault; readonly json: Json }
}

function makeColumn<T extends ColumnType, N extends boolean, D extends boolean, J>(
  spec: ColumnSpec<T, N, D, J>,
): Column<T, N, D, J> {
  return Object.freeze({
    [columnSpec]: Object.freeze(spec),
    nullable: () => makeColumn<T, true, D, J>({ ...spec, isNullable: true } as ColumnSpec<T, true, D, J>),
    default: (value: unknown) =>
      makeColumn<T, N, true, J>({ ...spec, default: { kind: 'value', value } } as ColumnSpec<T, N, true, J>),
    defaultSql: (expression: string) =>
      makeColumn<T, N, true, J>({ ...spec, default: { kind: 'sql', expression } } as ColumnSpec<
        T,
        N,
        true,
        J
      >),
    comment: (text: string) => makeColumn<T, N, D, J>({ ...spec, comment: text }),
  })
}

function column<T extends ColumnType, J = unknown>(
  type: T,
  precision: number | null = null,
  scale: number | null = null,
): Column<T, false, false, J> {
  return makeColumn({ type, isNullable: false, default: null, precision, scale, comment: null })
}

export function isColumn(value: unknown): value is AnyColumn {
  return typeof value === 'object' && value !== null && columnSpec in value
}

/**
 * Column types, by PostgreSQL's names.
 *
 * @example
 * import { hypertable, t } from 'tidemark/schema'
 * const cpu = hypertable('metrics.cpu', {
 *   columns: { time: t.timestamptz(), host: t.text(), usage: t.float8(), tags: t.jsonb<{ rack: string }>().nullable() },
 *   time: 'time', orderBy: ['host', 'time'], chunk: '1 day',
 * })
 */
export const t = Object.freeze({
  /** Microseconds, UTC. In: Date, ISO text with zone, bigint µs. Out: ISO text in UTC. */
  timestamptz: () => column('timestamptz'),
  /** `YYYY-MM-DD`. */
  date: () => column('date'),
  text: () => column('text'),
  uuid: () => column('uuid'),
  bool: () => column('bool'),
  int2: () => column('int2'),
  int4: () => column('int4'),
  /** Out: bigint. In: bigint, integer number or decimal text. */
  int8: () => column('int8'),
  float4: () => column('float4'),
  float8: () => column('float8'),
  /** Exact decimal, out as text. `precision` digits in all (1..1000), `scale` of them behind the point. */
  numeric: (precision?: number, scale?: number) =>
    column('numeric', precision ?? null, precision === undefined ? (scale ?? null) : (scale ?? 0)),
  /** JSON; the type parameter is believed, not checked. */
  jsonb: <T = unknown>() => column<'jsonb', T>('jsonb'),
  textArray: () => column('text[]'),
})
