import { readState, writeState } from './bytes.ts'
import type { StateDefinition, StateSpec } from './contract.ts'
import {
  addSegment,
  createTimeline,
  folded,
  type Link,
  readingOf,
  type Segment,
  type TimelineState,
} from './timeline.ts'
import { duckdbTimeline, postgresTimeline } from './timeline-engines.ts'
import { compareText, toFloat8, valueType } from './values.ts'

function timeline(
  kind: 'counter' | 'timeWeight',
  linkFor: (spec: StateSpec) => Link,
): StateDefinition<TimelineState> {
  const empty = (spec: StateSpec): TimelineState => createTimeline(spec, linkFor(spec))
  return {
    kind,
    exactness: 'bounded',
    ordered: true,
    create: empty,
    add(state, value, time, series = []) {
      const double = typeof value === 'number' ? value : toFloat8(state.input, value as string | bigint)
      const read = readingOf(double)
      if (read === null || time === null) return state
      const key = state.seriesTypes.map((input, i) => {
        const part = series[i] ?? null
        if (part === null) return null
        const type = valueType(input)
        return type.text(type.canonical(part))
      })
      addSegment(state, key, { from: time, first: read, to: time, last: read, links: 0 })
      return state
    },
    merge(into, other) {
      for (const { key, segments } of other.series.values())
        for (const segment of segments) addSegment(into, key, segment)
      return into
    },
    encode(state) {
      const all = [...state.series].sort(([a], [b]) => compareText(a, b))
      const writer = writeState().count(all.length)
      for (const [, series] of all) {
        for (const part of series.key) {
          writer.byte(part === null ? 0 : 1)
          if (part !== null) writer.text(part)
        }
        const { from, first, to, last, links } = folded(state.link, series)
        writer
          .integer(from)
          .double(first)
          .integer(to - from)
          .double(last)
          .double(links)
      }
      return writer.finish()
    },
    decode(bytes, spec) {
      const reader = readState(bytes)
      const state = empty(spec)
      for (let left = reader.count(); left > 0; left -= 1) {
        const key = state.seriesTypes.map(() => (reader.byte() === 0 ? null : reader.text()))
        const from = reader.integer()
        const first = reader.double()
        const to = from + reader.integer()
        addSegment(state, key, { from, first, to, last: reader.double(), links: reader.double() })
      }
      reader.end()
      return state
    },
    postgres: (spec) => postgresTimeline(spec, linkFor(spec), (key, segment) => single(spec, key, segment)),
    duckdb: (spec) => duckdbTimeline(spec, linkFor(spec), (key, segment) => single(spec, key, segment)),
  }

  function single(spec: StateSpec, key: readonly (string | null)[], segment: Segment): TimelineState {
    const state = empty(spec)
    addSegment(state, key, segment)
    return state
  }
}

export const counterState = timeline('counter', () => 'counter')
export const timeWeightState = timeline('timeWeight', ({ weight }) => weight ?? 'locf')
