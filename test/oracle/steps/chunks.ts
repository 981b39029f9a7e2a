import fc from 'fast-check'
import type { HypertableDefinition } from '../../../src/schema/index.ts'
import { parseInterval } from '../../../src/time/index.ts'
import { defineStep, type StepKind } from '../step.ts'
import { farTime, hypertableNames, rowArbitrary, timeArbitrary } from '../tables.ts'
import { endOf, isBusy, type World } from '../world.ts'
import { outsideStep } from './direct-sql.ts'

/** Chunks made ahead and on demand, the default partition drained, the worker. None of it changes an answer. */

function hypertable(world: World, name: string): HypertableDefinition {
  return world.definition(name) as HypertableDefinition
}

const ensureStep = defineStep({
  name: 'chunks are made',
  weight: 3,
  args: fc.constantFrom(...hypertableNames).chain((name) =>
    fc.record({
      name: fc.constant(name),
      times: fc.array(
        fc.oneof({ weight: 9, arbitrary: timeArbitrary(name) }, { weight: 1, arbitrary: farTime }),
        {
          minLength: 1,
          maxLength: 3,
        },
      ),
    }),
  ),
  async run(world, { name, times }) {
    const end = await endOf(world, () => world.real.chunks.ensureChunks(hypertable(world, name), times))
    if (end.ok) return 'done'
    if (end.code === 'TM_CHUNK_CAP') return 'over the cap'
    if (isBusy(end.code)) return 'busy'
    throw new Error(`making chunks of ${name} gave ${end.code}`)
  },
})

const aheadStep = defineStep({
  name: 'chunks are made ahead',
  weight: 1,
  args: fc.record({
    name: fc.constantFrom(...hypertableNames),
    ahead: fc.constantFrom('6 hours', '1 day'),
  }),
  async run(world, { name, ahead }) {
    const end = await endOf(world, () =>
      world.real.chunks.createAhead(hypertable(world, name), world.clock.now(), parseInterval(ahead)),
    )
    if (end.ok) return 'done'
    if (isBusy(end.code)) return 'busy'
    throw new Error(`making chunks of ${name} ahead gave ${end.code}`)
  },
})

const drainStep = defineStep({
  name: 'the default partition is drained',
  weight: 4,
  args: fc.constantFrom(...hypertableNames),
  async run(world, name) {
    const definition = hypertable(world, name)
    const outcome = await world.real.chunks.drainDefault(definition)
    if (outcome.kind === 'blocked' && !world.isContended)
      throw new Error(`the default partition of ${name} cannot be drained: ${outcome.reason}`)
    if (outcome.kind === 'drained') {
      const left = await world.real.chunks.defaultPartitionStatus(definition)
      if (left.rows !== 0n) throw new Error(`${left.rows} rows of ${name} were left behind by a drain`)
    }
    return outcome.kind
  },
})

const lateStep = defineStep({
  name: 'rows outside every chunk, and a drain at once',
  weight: 4,
  args: fc.constantFrom(...hypertableNames).chain((name) =>
    fc.record({
      name: fc.constant(name),
      rows: fc.array(rowArbitrary(name, farTime), { minLength: 1, maxLength: 3 }),
    }),
  ),
  async run(world, { name, rows }) {
    const inserted = await outsideStep.run(world, { name, rows })
    return `${inserted}, ${await drainStep.run(world, name)}`
  },
})

const workerStep = defineStep({
  name: 'the worker runs',
  weight: 3,
  args: fc.nat(1),
  async run(world, engine) {
    const runs = await world.engine(engine).createWorker().runOnce({ force: true })
    for (const { name, error, result } of runs) {
      if (error) {
        const end = await endOf(world, () => Promise.reject(error))
        if (end.ok || !isBusy(end.code)) throw new Error(`the job ${name} failed`, { cause: error })
      }
      if (result?.['unloggedCells'])
        throw new Error(
          `${name} found ${String(result['unloggedCells'])} cells that changed without an entry`,
        )
      const problems = result?.['problems'] as readonly string[] | undefined
      if (problems && problems.length > 0) throw new Error(`${name} found ${problems.join('; ')}`)
    }
    return `${runs.length} jobs`
  },
})

export const chunkSteps: readonly StepKind<never>[] = [
  ensureStep,
  aheadStep,
  drainStep,
  lateStep,
  workerStep,
] as readonly unknown[] as readonly StepKind<never>[]
