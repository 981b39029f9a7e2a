import { readFileSync } from 'node:fs'
import type { InputType, StateKind, StateSpec, TimeWeight } from '../../src/aggregate/index.ts'
import { stateKinds } from '../../src/aggregate/index.ts'
import type { ValueText } from '../aggregate/harness.ts'

export interface VectorCase {
  readonly name: string
  readonly input: InputType | null
  readonly borders?: readonly number[]
  /** topk */
  readonly capacity?: number
  /** timeWeight */
  readonly weight?: TimeWeight
  /** counter, timeWeight: one column, the remainder of a row's microseconds by 3, null instead of 0. */
  readonly series?: readonly InputType[]
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

export function specOf(kind: StateKind, vector: VectorCase): StateSpec {
  const { input, borders = null, capacity, weight, series } = vector
  return { kind, input, borders, capacity, weight, series }
}

export function readVectors(): VectorFile[] {
  return stateKinds.map(
    (kind) => JSON.parse(readFileSync(new URL(`${kind}.json`, import.meta.url), 'utf8')) as VectorFile,
  )
}
