import { expect } from 'vitest'
import { type AggregateState, aggregates, type InputType, type StateSpec } from '../../src/aggregate/index.ts'
import { arbitraryText, type Row } from './arbitraries.ts'
import { allowedDifference, isWithin } from './bounds.ts'
import { bytesOf, functionsOf } from './harness.ts'

const borders = [-100, -1, 0, 0.5, 1e300]

/** Every state over every input that some function makes it of. */
export function allSpecs(): [string, StateSpec][] {
  const specs = new Map<string, StateSpec>()
  for (const definition of Object.values(aggregates))
    for (const input of Object.keys(arbitraryText) as InputType[])
      if (definition.refuses(input) === null) {
        const spec = definition.state(input, { borders })
        specs.set(`${spec.kind} of ${input}`, spec)
      }
  return [...specs]
}

function finishNumbers(spec: StateSpec, state: AggregateState): [string, unknown][] {
  return functionsOf[spec.kind].map((fn) => [fn, aggregates[fn].finish(state, spec, { quantile: 0.5 })])
}

export function isBounded(spec: StateSpec): boolean {
  const { kind, input } = spec
  return (
    kind === 'moments' || (kind === 'sum' && ['float4', 'float8', 'json-number'].includes(input as string))
  )
}

/** Byte-equal, or for the bounded class: the same answers within the bound. */
export function expectSame(
  spec: StateSpec,
  a: AggregateState,
  b: AggregateState,
  rows: readonly Row[],
): void {
  if (!isBounded(spec)) {
    expect(bytesOf(spec, a)).toBe(bytesOf(spec, b))
    return
  }
  const values = rows.map((row) => row.value)
  const second = finishNumbers(spec, b)
  finishNumbers(spec, a).forEach(([fn, answer], i) => {
    const other = second[i]![1]
    if (isWithin(answer, other, 2 * allowedDifference(spec, fn, values))) return
    // two answers near the end of the range may fall on both sides of it
    const magnitudes = [answer, other].map((x) => Math.abs(Number(x)))
    expect(Math.min(...magnitudes), `${fn} ${answer} and ${other}`).toBeGreaterThan(1.797e308)
  })
}
