import { expect } from 'vitest'
import {
  type AggregateState,
  aggregates,
  type InputType,
  type StateSpec,
  states,
} from '../../src/aggregate/index.ts'
import { readingLimit, type TimelineState } from '../../src/aggregate/timeline.ts'
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
        for (const weight of ['locf', 'linear'] as const) {
          const spec = definition.state(input, { borders, k: 5, weight, series: ['int4'] })
          specs.set(`${spec.weight ?? ''} ${spec.kind} of ${input}`.trim(), spec)
        }
      }
  return [...specs]
}

function finishNumbers(spec: StateSpec, state: AggregateState): [string, unknown][] {
  return functionsOf[spec.kind].map((fn) => [fn, aggregates[fn].finish(state, spec, { quantile: 0.5, k: 5 })])
}

/** The edges are exact; what lies between was added in some order. */
function expectSameTimeline(
  spec: StateSpec,
  a: AggregateState,
  b: AggregateState,
  rows: readonly Row[],
): void {
  const { decode, encode } = states[spec.kind]
  const greatest = Math.max(
    0,
    ...rows.map(({ value }) => Math.abs(Number(value ?? 0))).filter((size) => size < readingLimit),
  )
  const [one, two] = [a, b].map((state) => decode(encode(state), spec) as TimelineState)
  expect([...one!.series.keys()].sort()).toEqual([...two!.series.keys()].sort())
  for (const [key, { segments }] of one!.series) {
    const [{ links, ...edges }, other] = [segments[0]!, two!.series.get(key)!.segments[0]!]
    const { links: others, ...otherEdges } = other
    expect(edges).toEqual(otherEdges)
    const seconds = Number(edges.to - edges.from) / 1e6
    // n roundings of sums that are no larger than this
    const size = greatest * (spec.kind === 'counter' ? rows.length : seconds)
    expect(Math.abs(links - others), `${links} and ${others}`).toBeLessThanOrEqual(
      4 * rows.length * 2 ** -52 * size,
    )
  }
}

export function isBounded(spec: StateSpec): boolean {
  const { kind, input } = spec
  return (
    states[kind].ordered === true ||
    kind === 'moments' ||
    (kind === 'sum' && ['float4', 'float8', 'json-number'].includes(input as string))
  )
}

/** Byte-equal, or for the bounded class: the same answers within the bound. */
export function expectSame(
  spec: StateSpec,
  a: AggregateState,
  b: AggregateState,
  rows: readonly Row[],
): void {
  if (states[spec.kind].ordered) {
    expectSameTimeline(spec, a, b, rows)
    return
  }
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
