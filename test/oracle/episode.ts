import fc from 'fast-check'
import { show, verify, verifyAggregates, verifyAll } from './queries.ts'
import { registry } from './registry.ts'
import type { StepKind } from './step.ts'
import { refreshAggregates } from './steps/aggregates.ts'
import { refreshAll } from './steps/change-log.ts'
import { finishLake } from './steps/lake.ts'
import { tableNames } from './tables.ts'
import { closeWorld, createWorld, type World } from './world.ts'

/** One step as data: what to do, and the seed of the queries that follow. */
export interface Step {
  readonly kind: string
  readonly args: unknown
  readonly queries: number
}

export interface EpisodeOptions {
  /** An empty database of its own. */
  readonly connectionString: string
  readonly seed: number
  readonly steps: number
  /** Places of the steps that are run; the others are left out. Default all. */
  readonly only?: readonly number[]
  /** Kinds of steps whose names match come six times as often. */
  readonly focus?: RegExp | undefined
  readonly onStep?: (place: number, kind: string, outcome: string) => void
}

export interface EpisodeReport {
  readonly steps: number
  readonly queries: number
  /** How often each kind of step came, and how it ended. */
  readonly counts: ReadonlyMap<string, number>
  /** How many parts of answers came from where. */
  readonly sources: ReadonlyMap<string, number>
}

/** The product did something else than the shadow. */
export class Difference extends Error {
  readonly place: number
  /** The steps that ran, in words. */
  readonly log: readonly string[]
  constructor(place: number, log: readonly string[], cause: unknown) {
    super(describe(cause), { cause })
    this.place = place
    this.log = log
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}\n  because: ${describe(error.cause)}`
}

/** The steps of a seed: the same on every machine, whatever the database does. */
export function stepsOf(
  seed: number,
  count: number,
  focus?: RegExp,
  kinds: readonly StepKind<unknown>[] = registry,
): readonly Step[] {
  const step = fc.oneof(
    ...kinds.map(({ name, weight, args }) => ({
      weight: focus?.test(name) ? weight * 6 : weight,
      arbitrary: fc.record({ kind: fc.constant(name), args, queries: fc.nat(2 ** 30) }),
    })),
  )
  const all = fc.array(step, { minLength: count, maxLength: count, size: 'max' })
  return fc.sample(fc.noBias(all), { seed, numRuns: 1 })[0]!
}

/**
 * Runs a sequence of steps against an empty database and its shadow; after each step random queries, at the end every row
 * and every consumer of the change log.
 *
 * @throws Difference with the steps so far.
 */
export async function runEpisode(options: EpisodeOptions): Promise<EpisodeReport> {
  const steps = stepsOf(options.seed, options.steps, options.focus)
  const only = options.only ?? steps.map((_, i) => i)
  const kinds = new Map(registry.map((kind) => [kind.name, kind]))
  const counts = new Map<string, number>()
  const log: string[] = []
  const world = await createWorld(options.connectionString)
  let place = -1
  try {
    for (place of only) {
      const { kind, args, queries } = steps[place]!
      world.step = place
      log.push(`${place} ${kind} ${shorten(show(args))}`)
      await world.closeOld()
      const outcome = await kinds.get(kind)!.run(world, args)
      log[log.length - 1] += ` -> ${outcome}`
      counts.set(`${kind}: ${outcome}`, (counts.get(`${kind}: ${outcome}`) ?? 0) + 1)
      await verify(world, queries, {
        about: tableOf(args),
        // what found nothing to do has changed nothing
        count: ['none', 'nothing', 'no room'].includes(outcome) ? 1 : 3,
      })
      await world.assertNoAlarm()
      options.onStep?.(place, kind, outcome)
    }
    await finish(world)
    await closeWorld(world)
  } catch (error) {
    await closeWorld(world).catch(() => {})
    throw new Difference(place, log, error)
  }
  return { steps: only.length, queries: world.queries, counts, sources: world.sources }
}

/** The table that the arguments of a step name; null when it is about none, or about several. */
export function tableOf(args: unknown): string | null {
  if (typeof args === 'string') return tableNames.includes(args) ? args : null
  const { name, call } = (args ?? {}) as { readonly name?: unknown; readonly call?: unknown }
  return typeof name === 'string' ? name : call === undefined ? null : tableOf(call)
}

async function finish(world: World): Promise<void> {
  await world.closeAll()
  await verifyAll(world)
  await finishLake(world)
  await refreshAll(world)
  await refreshAggregates(world)
  await verifyAggregates(world)
  await world.assertNoAlarm()
  for (const i of [0, 1]) world.noteChecks(i)
}

const mostCharacters = 2000

function shorten(text: string): string {
  return text.length <= mostCharacters
    ? text
    : `${text.slice(0, mostCharacters)}… (${text.length} characters)`
}
