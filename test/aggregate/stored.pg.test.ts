import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { aggregates, type StateSpec, states, storedState } from '../../src/aggregate/index.ts'
import type { Connection } from '../../src/postgres/index.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { readVectors, specOf, valuesOf } from '../vectors/format.ts'
import { arbitraryRows } from './arbitraries.ts'
import { buildState, bytesOf, functionsOf, quantiles, rowsOf, showFinished } from './harness.ts'
import { allSpecs, expectSame, isBounded } from './same.ts'
import { computeStored, finishKept, keepStates, mergeKept, readKept } from './stored-harness.ts'

let test: TestDatabase
let connection: Connection & { close(): Promise<void> }
beforeAll(async () => {
  test = await createTestDatabase()
  connection = await test.connect()
})
afterAll(() => test.drop())

/** Calls of every function that is finished from a state. */
function calls(spec: StateSpec) {
  return functionsOf[spec.kind].flatMap((fn) =>
    fn === 'percentile'
      ? quantiles.map((quantile) => ({ name: `p${quantile * 100}`, fn, options: { quantile } }))
      : [{ name: fn, fn, options: { quantile: null, k: 5 } }],
  )
}

describe.each(readVectors())('stored states of $state', ({ state: kind, cases }) => {
  it('are read back as they were, and SQL finishes them as TypeScript does', async () => {
    for (const vector of cases) {
      const spec = specOf(kind, vector)
      const state = states[kind].decode(Buffer.from(vector.state, 'hex'), spec)
      await keepStates(connection, spec, [state])
      const [read] = await readKept(connection, spec)
      expect(bytesOf(spec, read!), vector.name).toBe(vector.state)
      for (const { name, fn, options } of calls(spec)) {
        const finished = await finishKept(connection, spec, fn, options)
        if (finished)
          expect(showFinished(finished[0]!), `${vector.name} ${name}`).toEqual(vector.finished[name])
      }
    }
  })

  it('are made of rows in SQL as TypeScript makes them', async () => {
    for (const vector of cases) {
      const spec = specOf(kind, vector)
      const values = valuesOf(vector.values)
      const from = rowsOf(spec.input, values, vector.times ?? null)
      const computed = await computeStored(connection, spec, from)
      if (computed === null) continue
      const state = states[kind].decode(Buffer.from(vector.state, 'hex'), spec)
      expectSame(
        spec,
        computed,
        state,
        values.map((value, i) => ({ value, time: vector.times?.[i] ?? '0' })),
      )
    }
  })
})

describe.each(allSpecs())('%s, stored', (_, spec) => {
  const rows = arbitraryRows(spec.input!, 12)

  it('is the same after any split, write, read and merge, and never all null', async () => {
    await fc.assert(
      fc.asyncProperty(rows, rows, async (one, two) => {
        const build = (part: typeof one) =>
          buildState(
            spec,
            part.map(({ value }) => value),
            part.map(({ time }) => time),
          )
        const stored = storedState(spec)
        for (const part of [one, two])
          expect(stored.write(build(part)).some((value) => value !== null)).toBe(true)
        await keepStates(connection, spec, [build(one), build(two), build([])])
        const read = await readKept(connection, spec)
        expect(bytesOf(spec, read[0]!)).toBe(bytesOf(spec, build(one)))
        expect(bytesOf(spec, read[2]!)).toBe(bytesOf(spec, build([])))
        for (const { fn, options } of calls(spec)) {
          const finished = await finishKept(connection, spec, fn, options)
          const expected = [one, two, []].map((part) => aggregates[fn].finish(build(part), spec, options))
          if (finished) expect(finished.map(showFinished)).toEqual(expected.map(showFinished))
        }
        if (stored.merge === null) return
        const whole = [...one, ...two]
        const merged = await mergeKept(connection, spec)
        const expected = states[spec.kind].merge(build(one), build(two))
        if (isBounded(spec)) expectSame(spec, merged, expected, whole)
        else expect(bytesOf(spec, merged)).toBe(bytesOf(spec, expected))
      }),
      { numRuns: 6 },
    )
  })

  it('is computed from rows in SQL as in TypeScript', async () => {
    await fc.assert(
      fc.asyncProperty(rows, async (given) => {
        const values = given.map(({ value }) => value)
        const times = given.map(({ time }) => time)
        const computed = await computeStored(connection, spec, rowsOf(spec.input, values, times))
        if (computed) expectSame(spec, computed, buildState(spec, values, times), given)
      }),
      { numRuns: 6 },
    )
  })
})
