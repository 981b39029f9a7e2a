import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { aggregates, type StateSpec, stateKey, states, storedState } from '../../src/aggregate/index.ts'
import type { Connection } from '../../src/postgres/index.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { readVectors, specOf, valuesOf } from '../vectors/format.ts'
import { arbitraryRows, type Row } from './arbitraries.ts'
import { buildState, bytesOf, functionsOf, quantiles, rowsOf, showFinished } from './harness.ts'
import { allSpecs, expectSame } from './same.ts'
import {
  computeStored,
  type FinishCall,
  finishKept,
  keepStates,
  mergeKept,
  readKept,
} from './stored-harness.ts'

let test: TestDatabase
let connection: Connection & { close(): Promise<void> }
beforeAll(async () => {
  test = await createTestDatabase()
  connection = await test.connect()
})
afterAll(() => test.drop())

/** Calls of every function that is finished from a state. */
function callsOf(spec: StateSpec): readonly FinishCall[] {
  return functionsOf[spec.kind].flatMap((fn): FinishCall[] =>
    fn === 'percentile'
      ? quantiles.map((quantile) => ({ name: `p${quantile * 100}`, fn, options: { quantile } }))
      : [{ name: fn, fn, options: { quantile: null, k: 5 } }],
  )
}

describe.each(readVectors())('stored states of $state', ({ state: kind, cases }) => {
  const bySpec = new Map<string, (typeof cases)[number][]>()
  for (const vector of cases) {
    const key = stateKey(specOf(kind, vector))
    bySpec.set(key, [...(bySpec.get(key) ?? []), vector])
  }

  it('are read back as they were, and SQL finishes them as TypeScript does', async () => {
    for (const vectors of bySpec.values()) {
      const spec = specOf(kind, vectors[0]!)
      const kept = vectors.map(({ state }) => states[kind].decode(Buffer.from(state, 'hex'), spec))
      await keepStates(connection, spec, kept)
      const read = await readKept(connection, spec)
      expect(read.map((state) => bytesOf(spec, state))).toEqual(vectors.map(({ state }) => state))
      const finished = await finishKept(connection, spec, callsOf(spec))
      vectors.forEach((vector, i) => {
        for (const [name, value] of finished[i]!)
          expect(showFinished(value), `${vector.name} ${name}`).toEqual(vector.finished[name])
      })
    }
  })

  it('are made of rows in SQL as TypeScript makes them', async () => {
    for (const vector of cases) {
      const spec = specOf(kind, vector)
      const values = valuesOf(vector.values)
      const computed = await computeStored(connection, spec, rowsOf(spec.input, values, vector.times ?? null))
      const state = states[kind].decode(Buffer.from(vector.state, 'hex'), spec)
      const rows = values.map((value, i) => ({ value, time: vector.times?.[i] ?? '0' }))
      expectSame(spec, computed, state, rows)
    }
  })
})

describe.each(allSpecs())('%s, stored', (_, spec) => {
  const rows = arbitraryRows(spec.input!, 30)
  const build = (part: readonly Row[]) =>
    buildState(
      spec,
      part.map(({ value }) => value),
      part.map(({ time }) => time),
    )

  it('is the same after any split, write, read and merge, computed in SQL too, and never all null', async () => {
    await fc.assert(
      fc.asyncProperty(rows, rows, async (one, two) => {
        const stored = storedState(spec)
        const parts = [one, two, []]
        for (const part of parts) expect(stored.write(build(part)).some((value) => value !== null)).toBe(true)
        await keepStates(connection, spec, parts.map(build))
        const read = await readKept(connection, spec)
        expect(read.map((state) => bytesOf(spec, state))).toEqual(
          parts.map((part) => bytesOf(spec, build(part))),
        )
        const finished = await finishKept(connection, spec, callsOf(spec))
        for (const { name, fn, options } of callsOf(spec))
          parts.forEach((part, i) => {
            const expected = aggregates[fn].finish(build(part), spec, options)
            expect(showFinished(finished[i]!.get(name)!)).toEqual(showFinished(expected))
          })
        const whole = [...one, ...two]
        const expected = states[spec.kind].merge(build(one), build(two))
        if (stored.merge !== null) expectSame(spec, await mergeKept(connection, spec), expected, whole)
        const source = rowsOf(
          spec.input,
          whole.map(({ value }) => value),
          whole.map(({ time }) => time),
        )
        const computed = await computeStored(connection, spec, source)
        expectSame(spec, computed, build(whole), whole)
      }),
      { numRuns: 2 },
    )
  })
})
