import type { InputType, StateSpec } from '../../src/aggregate/index.ts'
import { parseValue, type ValueText } from './harness.ts'

const epsilon = 2 ** -52

/** Values as doubles, finite ones only, scaled down so that nothing here overflows. */
function doubles(input: InputType, values: readonly ValueText[]): number[] {
  return values.filter((text) => text !== null).map((text) => Number(parseValue(input, text as string)))
}

/**
 * How far two answers to the same question may lie apart, from the page docs/design/aggregates.md; Infinity where
 * the question itself overflows.
 */
export function allowedDifference(spec: StateSpec, fn: string, values: readonly ValueText[]): number {
  const all = doubles(spec.input as InputType, values)
  const n = all.length
  const greatest = Math.max(0, ...all.map(Math.abs))
  if (!Number.isFinite(greatest) || greatest === 0) return 0
  const scaled = all.map((x) => x / greatest)
  const sumOfMagnitudes = scaled.reduce((sum, x) => sum + Math.abs(x), 0)
  if (fn === 'sum') return n * epsilon * sumOfMagnitudes * greatest + Number.MIN_VALUE
  if (fn === 'avg') return (n + 1) * epsilon * (sumOfMagnitudes / n) * greatest + Number.MIN_VALUE
  const mean = scaled.reduce((sum, x) => sum + x, 0) / n
  const m2 = scaled.reduce((sum, x) => sum + (x - mean) ** 2, 0)
  const squares = scaled.reduce((sum, x) => sum + x * x, 0)
  const m2Error = 2 * n * epsilon * Math.sqrt(squares * m2) + (n * epsilon) ** 2 * squares
  if (fn === 'variance') return ((m2Error / (n - 1)) * greatest + Number.MIN_VALUE) * greatest + 2 ** -1022
  const deviation = Math.sqrt(m2 / (n - 1))
  const error = Math.sqrt(m2Error / (n - 1))
  return Math.min(error, deviation > 0 ? m2Error / (n - 1) / deviation : error) * greatest + 2 ** -511
}

/** Equal specials, or within the bound. */
export function isWithin(a: unknown, b: unknown, allowed: number): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'number' || typeof b !== 'number') return false
  return Math.abs(a - b) <= allowed
}
