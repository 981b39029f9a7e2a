import type { ColumnType, JsonValue } from './definition.ts'

/** JavaScript forms of values that go in. */
interface InputForms {
  timestamptz: Date | string | bigint
  date: string
  text: string
  uuid: string
  bool: boolean
  int2: number
  int4: number
  int8: number | bigint | string
  float4: number
  float8: number
  numeric: string | number | bigint
  'text[]': readonly (string | null)[]
}

/** JavaScript forms of values that come out: one for each type, exact. */
interface OutputForms {
  timestamptz: string
  date: string
  text: string
  uuid: string
  bool: boolean
  int2: number
  int4: number
  int8: bigint
  float4: number
  float8: number
  numeric: string
  'text[]': (string | null)[]
}

type JsonForm<Json> = unknown extends Json ? JsonValue : Json

export type InputForm<Type extends ColumnType, Json = unknown> = Type extends keyof InputForms
  ? InputForms[Type]
  : // null in a row is SQL's null; JSON's own null can stand inside a document, not be one
    Exclude<JsonForm<Json>, null>

export type OutputForm<Type extends ColumnType, Json = unknown> = Type extends keyof OutputForms
  ? OutputForms[Type]
  : JsonForm<Json>
