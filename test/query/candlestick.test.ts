import { describe, expect, it } from 'vitest'
import {
  type AggregateFunction,
  type AggregateState,
  aggregates,
  type StateSpec,
  states,
} from '../../src/aggregate/index.ts'
import { candlestick } from '../../src/query/index.ts'
import { createRandom } from '../helpers/split-tiers.ts'

const seed = Math.floor(Math.random() * 2 ** 31)
const second = 1_000_000n
const minute = 60n * second

interface Tick {
  readonly at: bigint
  readonly price: string
  readonly size: string
}

type Part = readonly [name: string, { readonly fn: AggregateFunction; readonly column: string }]

const parts = (Object.entries(candlestick('price', 'size')) as Part[]).map(([name, { fn, column }]) => ({
  name,
  fn,
  column: column as 'price' | 'size',
  spec: aggregates[fn].state('numeric', { borders: null }),
}))

function statesOf(ticks: readonly Tick[]): AggregateState[] {
  return parts.map(({ spec, column }) =>
    ticks.reduce(
      (state, tick) => states[spec.kind].add(state, tick[column], tick.at),
      states[spec.kind].create(spec),
    ),
  )
}

function finished(all: readonly AggregateState[]): Record<string, unknown> {
  return Object.fromEntries(
    parts.map(({ name, fn, spec }, i) => [name, aggregates[fn].finish(all[i]!, spec, { quantile: null })]),
  )
}

/** Cells of a coarser bucket from those of a finer one, as they are stored. */
function rollUp(cells: ReadonlyMap<bigint, AggregateState[]>, width: bigint): Map<bigint, AggregateState[]> {
  const coarser = new Map<bigint, AggregateState[]>()
  const stored = (state: AggregateState, spec: StateSpec): AggregateState =>
    states[spec.kind].decode(states[spec.kind].encode(state), spec)
  // in no order
  for (const [start, held] of [...cells].sort(() => 0.5 - Math.random())) {
    const bucket = (start / width) * width
    const known = coarser.get(bucket)
    coarser.set(
      bucket,
      parts.map(({ spec }, i) => {
        const one = stored(held[i]!, spec)
        return known ? states[spec.kind].merge(known[i]!, one) : one
      }),
    )
  }
  return coarser
}

describe('candlestick', () => {
  it('is five aggregates, four without a volume', () => {
    expect(candlestick('price', 'size')).toEqual({
      open: { fn: 'first', column: 'price' },
      high: { fn: 'max', column: 'price' },
      low: { fn: 'min', column: 'price' },
      close: { fn: 'last', column: 'price' },
      volume: { fn: 'sum', column: 'size' },
    })
    expect(Object.keys(candlestick('price'))).toEqual(['open', 'high', 'low', 'close'])
  })

  it(`of days is the same from rows, minutes and hours (seed ${seed})`, () => {
    const random = createRandom(seed)
    // several ticks of one instant are common
    const ticks = Array.from(
      { length: 4000 },
      (): Tick => ({
        at: BigInt(Math.floor(random() * 86_400)) * 2n * second,
        price: (random() * 100).toFixed(2),
        size: (random() * 10).toFixed(3),
      }),
    )
    const raw = new Map<bigint, AggregateState[]>()
    const byTick = ticks.map((tick) => [tick.at, statesOf([tick])] as const)
    for (const [at, held] of byTick) {
      const known = raw.get(at)
      raw.set(
        at,
        known ? parts.map(({ spec }, i) => states[spec.kind].merge(known[i]!, held[i]!)) : [...held],
      )
    }
    const days = rollUp(rollUp(rollUp(raw, minute), 60n * minute), 1440n * minute)
    expect(days.size).toBe(2)
    for (const [day, held] of days) {
      const own = ticks.filter(({ at }) => at >= day && at < day + 1440n * minute)
      expect(finished(held)).toEqual(finished(statesOf(own)))
      const prices = own.map(({ price }) => Number(price))
      const edge = own.reduce((least, { at }) => (at < least ? at : least), own[0]!.at)
      const opening = own.filter(({ at }) => at === edge).map(({ price }) => Number(price))
      expect(Number(finished(held)['open'])).toBe(Math.min(...opening))
      expect(Number(finished(held)['high'])).toBe(Math.max(...prices))
    }
  })
})
