import type { AnyColumn, ColumnSpec, columnSpec } from './column.ts'
import type {
  ColumnDefinition,
  ColumnType,
  ContinuousAggregateDefinition,
  HypertableDefinition,
  TableDefinition,
} from './definition.ts'
import type { InputForm, OutputForm } from './forms.ts'

/** Columns as declared, by name. */
export type Columns = Readonly<Record<string, AnyColumn>>

declare const shapeOf: unique symbol

/** What TypeScript knows of a declaration beyond its data; never there at run time. */
interface Shape<C extends Columns, Key extends string, Tenant extends string = string> {
  readonly columns: C
  readonly key: Key
  readonly tenant: Tenant
}

export interface Hypertable<
  Name extends string,
  C extends Columns,
  Time extends string,
  Key extends string,
  Tenant extends string = string,
> extends HypertableDefinition {
  readonly name: Name
  readonly time: Time
  readonly columns: { readonly [K in keyof C]: ColumnDefinition }
  readonly [shapeOf]?: Shape<C, Key, Tenant>
}

export interface Table<
  Name extends string,
  C extends Columns,
  Key extends string,
  Tenant extends string = string,
> extends TableDefinition {
  readonly name: Name
  readonly columns: { readonly [K in keyof C]: ColumnDefinition }
  readonly [shapeOf]?: Shape<C, Key, Tenant>
}

declare const aggregateShape: unique symbol

/** What TypeScript knows of a continuous aggregate. */
export interface AggregateShape {
  /** The hypertable under the chain. */
  readonly base: unknown
  /** Names of the keys, the tenant's too. */
  readonly keys: string
  /** Values of dimension columns, by name. */
  readonly dimensions: object
  /** Aggregates, by the name of the output. */
  readonly select: object
  /** A row of its view. */
  readonly row: object
}

export interface ContinuousAggregate<Name extends string, S extends AggregateShape>
  extends ContinuousAggregateDefinition {
  readonly name: Name
  readonly [aggregateShape]?: S
}

/** Of a definition that TypeScript knows nothing of: never. */
export type AggregateShapeOf<A> = A extends { readonly [aggregateShape]?: infer S }
  ? unknown extends S
    ? never
    : NonNullable<S>
  : never

/** `cpu` is `public.cpu`. */
export type QualifiedNameOf<Name extends string> = Name extends `${string}.${string}`
  ? Name
  : `public.${Name}`

type ShapeOf<D> = D extends { readonly [shapeOf]?: infer S }
  ? unknown extends S
    ? Shape<Columns, string>
    : NonNullable<S>
  : Shape<Columns, string>
type ColumnsOf<D> = ShapeOf<D> extends { readonly columns: infer C extends Columns } ? C : never

export type SpecOf<C> = C extends { readonly [columnSpec]: infer S } ? S : never
type TypeOf<C> = SpecOf<C> extends ColumnSpec<infer T, boolean, boolean, unknown> ? T : never
type IsNullable<C> = SpecOf<C> extends { readonly isNullable: infer N } ? N : never
type HasDefault<C> = SpecOf<C> extends { readonly phantom?: { readonly hasDefault: infer D } } ? D : never
type JsonOf<C> = SpecOf<C> extends { readonly phantom?: { readonly json: infer J } } ? J : never

type OrNull<C, Value> = true extends IsNullable<C> ? Value | null : Value
/** The form in which a column's values come out. */
export type OutputOf<C> = OrNull<C, OutputForm<TypeOf<C>, JsonOf<C>>>
/** The forms in which a column takes values. */
export type InputOf<C> = OrNull<C, InputForm<TypeOf<C>, JsonOf<C>>>
type IsOptional<C> = true extends IsNullable<C> | HasDefault<C> ? true : false

type Flat<T> = { [K in keyof T]: T[K] } & {}
/** A definition whose columns are not known to TypeScript has rows of anything. */
type IsUnknown<C> = string extends keyof C ? true : false

type OutputRow<C> = Flat<{ -readonly [K in keyof C]: OutputOf<C[K]> }>
type InputRow<C> = Flat<
  { -readonly [K in keyof C as IsOptional<C[K]> extends true ? never : K]: InputOf<C[K]> } & {
    -readonly [K in keyof C as IsOptional<C[K]> extends true ? K : never]?: InputOf<C[K]>
  }
>

/** A row as it comes out. `Row<typeof cpu>` */
export type Row<D> = IsUnknown<ColumnsOf<D>> extends true ? Record<string, unknown> : OutputRow<ColumnsOf<D>>

/** A row as it goes in: nullable columns and those with a default may be left out. */
export type InsertRow<D> =
  IsUnknown<ColumnsOf<D>> extends true ? Record<string, unknown> : InputRow<ColumnsOf<D>>

/** New values of some columns. */
export type UpdateRow<D> =
  IsUnknown<ColumnsOf<D>> extends true
    ? Record<string, unknown>
    : Flat<{ -readonly [K in keyof ColumnsOf<D>]?: InputOf<ColumnsOf<D>[K]> }>

/** The primary key's columns with their values; never when there is no primary key. */
export type KeyOf<D> =
  IsUnknown<ColumnsOf<D>> extends true
    ? Record<string, unknown>
    : [ShapeOf<D>['key']] extends [never]
      ? never
      : Flat<{ -readonly [K in ShapeOf<D>['key'] & keyof ColumnsOf<D>]: InputOf<ColumnsOf<D>[K]> }>

/** Names of all columns. */
export type ColumnNames<D> = keyof ColumnsOf<D> & string

type NumericType = 'int2' | 'int4' | 'int8' | 'float4' | 'float8' | 'numeric'
/** Names of the columns that hold numbers. */
export type NumericColumns<D> = NamesOfType<ColumnsOf<D>, NumericType>

/** Name of the time column; never for a plain table. */
export type TimeColumn<D> = D extends { readonly kind: 'hypertable'; readonly time: infer T } ? T : never

/** Name of the tenant column; never where there is none. */
export type TenantColumn<D> = ShapeOf<D>['tenant']

/** The declared type of a column. */
export type ColumnTypeOf<D, Name extends ColumnNames<D>> = TypeOf<ColumnsOf<D>[Name]>

// For the options of declarations

export type NamesOf<C> = keyof C & string
export type NamesOfType<C, T extends ColumnType> = string extends keyof C
  ? string
  : { [K in keyof C & string]: TypeOf<C[K]> extends T ? K : never }[keyof C & string]
type NotNullNames<C> = string extends keyof C
  ? string
  : { [K in keyof C & string]: true extends IsNullable<C[K]> ? never : K }[keyof C & string]

export type TimeNames<C> = NamesOfType<C, 'timestamptz'> & NotNullNames<C>
export type TenantNames<C> = NamesOfType<C, 'text' | 'uuid' | 'int4' | 'int8'> & NotNullNames<C>
export type KeyNames<C> = NotNullNames<C>
