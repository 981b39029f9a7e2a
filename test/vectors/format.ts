import { readFileSync } from 'node:fs'
import type { InputType, StateKind } from '../../src/aggregate/index.ts'
import { stateKinds } from '../../src/aggregate/index.ts'
import type { ValueText } from '../aggregate/harness.ts'

export interface VectorCase {
  readonly name: string
  readonly input: InputType | null
  readonly borders?: readonly number[]
  /** Values in PostgreSQL's text (timestamptz: microseconds), or the whole numbers of a series. */
  readonly values: readonly ValueText[] | { readonly from: number; readonly to: number }
  /** Microseconds of each row; only where time matters. */
  readonly times?: readonly string[]
  /** Canonical bytes in hex. */
  readonly state: string
  readonly finished: Readonly<Record<string, unknown>>
}

export interface VectorFile {
  readonly state: StateKind
  readonly exactness: string
  readonly cases: readonly VectorCase[]
}

export function valuesOf(values: VectorCase['values']): readonly ValueText[] {
  if (!('from' in values)) return values
  return Array.from({ length: values.to - values.from + 1 }, (_, i) => String(values.from + i))
}

export function readVectors(): VectorFile[] {
  return stateKinds.map(
    (kind) => JSON.parse(readFileSync(new URL(`${kind}.json`, import.meta.url), 'utf8')) as VectorFile,
  )
}
