import { type AggregateState, type StateSpec, states } from '../aggregate/index.ts'

/**
 * Merges of windows that slide along a list of states: `[from, to)` of places, both of which only grow from one call to the next.
 *
 * Two stacks: what lies before `middle` is merged from there backwards, once, and what comes after it grows; a window is one merge of
 * the two. So a month of hours slides for the price of about three merges a step instead of 720. Places that go back start over.
 * The list is read, never changed; null is nothing.
 *
 * @example
 * const months = new SlidingMerge(spec, days)
 * months.merged(0, 30) // then (1, 31), (2, 32), …
 */
export class SlidingMerge {
  readonly #spec: StateSpec
  readonly #states: readonly (AggregateState | null)[]
  #middle = 0
  /** From the place before `middle` backwards: each merged with all that follow it up to there. */
  #before: (AggregateState | null)[] = []
  /** Merged from `middle` to `end`. */
  #after: AggregateState | null = null
  #end = 0
  #from = 0

  constructor(spec: StateSpec, list: readonly (AggregateState | null)[]) {
    this.#spec = spec
    this.#states = list
  }

  /** One of its own: the caller may change it. */
  merged(from: number, to: number): AggregateState {
    if (from < this.#from || to < this.#end || from >= this.#middle) this.#turn(from, to)
    for (; this.#end < to; this.#end++) this.#after = this.#add(this.#after, this.#states[this.#end])
    this.#from = from
    // what lies before the window is not asked for again
    this.#before.length = this.#middle - from
    const { create, merge } = states[this.#spec.kind]
    const whole = this.#add(null, this.#before.at(-1)) ?? create(this.#spec)
    return this.#after === null ? whole : merge(whole, this.#after)
  }

  #turn(from: number, to: number): void {
    this.#before = []
    let suffix: AggregateState | null = null
    for (let at = to - 1; at >= from; at--) {
      // of its own for each place: the next one is merged into a copy
      suffix = this.#add(this.#add(null, suffix), this.#states[at])
      this.#before.push(suffix)
    }
    this.#middle = to
    this.#end = to
    this.#after = null
  }

  #add(into: AggregateState | null, other: AggregateState | null | undefined): AggregateState | null {
    if (other === null || other === undefined) return into
    const { create, merge } = states[this.#spec.kind]
    return merge(into ?? create(this.#spec), other)
  }
}
