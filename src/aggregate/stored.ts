import type { StateKind, StateSpec } from './contract.ts'
import { storedBytes } from './stored-bytes.ts'
import { storedCount, storedMoments, storedSum } from './stored-numbers.ts'
import type { StoredState } from './stored-state.ts'
import { storedEdge, storedExtreme } from './stored-values.ts'

export type { StoredState } from './stored-state.ts'

const kinds: Readonly<Record<StateKind, (spec: StateSpec) => StoredState>> = {
  count: storedCount,
  sum: storedSum,
  min: storedExtreme,
  max: storedExtreme,
  first: storedEdge,
  last: storedEdge,
  moments: storedMoments,
  ddsketch: storedBytes,
  hll: storedBytes,
  distinct: storedBytes,
  histogram: storedBytes,
  topk: storedBytes,
  counter: storedBytes,
  timeWeight: storedBytes,
}

/** @example storedState({ kind: 'count', input: null, borders: null }).columns // [{ suffix: 'n', type: 'int8' }] */
export function storedState(spec: StateSpec): StoredState {
  return kinds[spec.kind](spec)
}
