import { type AggregateState, type StateSpec, states } from '../aggregate/index.ts'

/**
 * How two states of the same rows compare. `rounding`: sums of floats of as many values, added up in another order; whether that
 * explains the difference hangs on how large the values were, which a sum does not know (values that cancel each other out).
 */
export type Comparison = 'same' | 'different' | 'rounding'

interface FloatSum {
  readonly kind: 'float'
  readonly count: number
  readonly small: number
  readonly large: number
}

interface Moments {
  readonly count: number
  readonly mean: number
  readonly m2: number
}

/**
 * Sums of floats hang on the order of their rows, as what a series adds up does; a topK that has left values out may have left out
 * others. Nothing else differs at all.
 */
export function compareStates(spec: StateSpec, x: AggregateState, y: AggregateState): Comparison {
  const definition = states[spec.kind]
  const [a, b] = [definition.encode(x), definition.encode(y)]
  if (Buffer.compare(a, b) === 0) return 'same'
  if (spec.kind === 'topk')
    return [x, y].some((state) => (state as { readonly rest: number }).rest > 0) ? 'same' : 'different'
  if (spec.kind !== 'sum' && definition.exactness !== 'bounded') return 'different'
  const [ours, theirs] = [definition.decode(a, spec), definition.decode(b, spec)]
  if (spec.kind === 'moments') return isSameSpread(ours, theirs) ? 'same' : 'different'
  // a sum of tiny values is tiny
  if (isClose(ours, theirs, spec.kind === 'sum' ? 0 : 1e-9)) return 'same'
  return spec.kind === 'sum' && mayBeRounding(ours, theirs) ? 'rounding' : 'different'
}

function mayBeRounding(x: unknown, y: unknown): boolean {
  const [a, b] = [x as FloatSum, y as FloatSum]
  return a.kind === 'float' && b.kind === 'float' && a.count === b.count && isClose(a.large, b.large, 0)
}

/**
 * Whether sums differ by no more than adding the same values in two orders can: n * 2^-53 * sum |x| each (Higham 2002, 4.2), with
 * sum |x| <= sqrt(n * sum x^2), which moments of the rows tell.
 */
export function isWithinRounding(x: AggregateState, y: AggregateState, spread: AggregateState): boolean {
  const [a, b] = [x as FloatSum, y as FloatSum]
  const { small } = spread as { readonly small: Moments }
  const total = Math.sqrt(small.count * squares(small))
  return Math.abs(a.small - b.small) <= 2 * (small.count + 8) * 2 ** -53 * total
}

/** Means and squares, relative to the size of the values that went in. */
function isSameSpread(x: unknown, y: unknown): boolean {
  const sides = (state: unknown): readonly [Moments, Moments] => {
    const { small, large } = state as { readonly small: Moments; readonly large: Moments }
    return [small, large]
  }
  const theirs = sides(y)
  return sides(x).every((a, i) => {
    const b = theirs[i] as Moments
    if (a.count !== b.count) return false
    if (Object.is(a.mean, b.mean) && Object.is(a.m2, b.m2)) return true
    const size = Math.max(squares(a), squares(b))
    const mean = 1e-6 * Math.sqrt(size / a.count)
    return Math.abs(a.mean - b.mean) <= mean && Math.abs(a.m2 - b.m2) <= 1e-6 * size
  })
}

/** Sum of the squares of the values. */
function squares({ count, mean, m2 }: Moments): number {
  return m2 + count * mean * mean
}

function isClose(a: unknown, b: unknown, slack: number): boolean {
  if (typeof a === 'number' && typeof b === 'number')
    return Object.is(a, b) || Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b)) + slack
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  const entries = entriesOf(a)
  const others = new Map(entriesOf(b))
  return (
    entries.length === others.size &&
    entries.every(([key, value]) => others.has(key) && isClose(value, others.get(key), slack))
  )
}

function entriesOf(value: object): [unknown, unknown][] {
  return value instanceof Map ? [...value] : Object.entries(value)
}
