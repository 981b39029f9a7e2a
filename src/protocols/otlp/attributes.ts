import type { JsonValue } from '../../schema/index.ts'
import type { Read } from './message.ts'

/** Attributes by name, as JSON. */
export type Attributes = { readonly [name: string]: JsonValue }

/** Where points, records and spans come from. */
export interface Origin {
  readonly resource: Attributes
  readonly scope: string | null
  readonly scopeVersion: string | null
}

/** @param resource Shared by all scopes: a small body may hold many of them. */
export function originOf(resource: Attributes, scope: Read | undefined): Origin {
  return {
    resource,
    scope: textOrNull(scope?.['name']),
    scopeVersion: textOrNull(scope?.['version']),
  }
}

/** The last one of a name counts, which senders must not write twice. */
export function attributesOf(list: unknown): Attributes {
  if (list === undefined) return {}
  return Object.fromEntries(
    (list as Read[]).map((pair) => [
      (pair['key'] as string | undefined) ?? '',
      valueOfAny(pair['value'] as Read),
    ]),
  )
}

/** Integers beyond 2^53 and numbers that JSON has not are texts, bytes are base64. */
export function valueOfAny(any: Read | undefined): JsonValue {
  if (any === undefined) return null
  const { stringValue, boolValue, intValue, doubleValue, arrayValue, kvlistValue, bytesValue } = any
  if (stringValue !== undefined) return stringValue as string
  if (boolValue !== undefined) return boolValue as boolean
  if (intValue !== undefined) return jsonInteger(intValue as bigint)
  if (doubleValue !== undefined) return jsonNumber(doubleValue as number)
  if (arrayValue !== undefined)
    return (((arrayValue as Read)['values'] as Read[] | undefined) ?? []).map(valueOfAny)
  if (kvlistValue !== undefined) return attributesOf((kvlistValue as Read)['values'])
  return bytesValue === undefined ? null : (bytesValue as string)
}

export function jsonInteger(value: bigint): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value.toString()
}

export function jsonNumber(value: number): number | string {
  return Number.isFinite(value) ? value : String(value)
}

/** A number where it is exact. */
export function exactNumber(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** Absent and empty are the same in protobuf. */
export function textOrNull(value: unknown): string | null {
  return value === undefined || value === '' ? null : (value as string)
}

/** Null: absent, which is 0. Nanoseconds are cut. */
export function instantOrNull(nanos: unknown): bigint | null {
  return nanos === undefined || nanos === 0n ? null : (nanos as bigint) / 1000n
}
