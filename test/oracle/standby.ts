import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Tidemark } from '../../src/engine.ts'
import type { Answer } from '../../src/query/index.ts'
import type { HypertableDefinition } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { raw } from '../../src/util/sql.ts'
import type { Standby } from '../helpers/standby.ts'
import { stepsOf, tableOf } from './episode.ts'
import { chunkStates, createMover, FileIsGone } from './lake.ts'
import { answerOf, compare, queriesOf, show } from './queries.ts'
import { registry } from './registry.ts'
import { verifyLake } from './steps/lake.ts'
import { move, type PlannedMove, plannedMove } from './steps/lake-together.ts'
import { openReader, type Reader, readAll } from './steps/snapshots.ts'
import { hypertableNames, tableNames } from './tables.ts'
import type { StoredRow } from './values.ts'
import { closeWorld, codeOf, createWorld, type World } from './world.ts'

/**
 * Readers on a streaming standby, which sees an older moment than the primary has: while chunks are frozen, thawed, dropped, and
 * their files swept without being kept for anybody. What they are told is right for their snapshot, or they are refused.
 */
export interface StandbyReport {
  readonly rounds: number
  readonly queries: number
  /** How answers on the standby ended. */
  readonly counts: ReadonlyMap<string, number>
}

interface Round {
  readonly name: string
  /** Steps on the primary while the standby stands still. */
  readonly steps: number
  readonly seed: number
  /** Tables that a reader on the standby has read before, and so holds locks on. */
  readonly touched: readonly string[]
  /** Moves on the primary while the standby goes on. */
  readonly moves: readonly [readonly PlannedMove[], readonly PlannedMove[]]
  /** When readers take their snapshots on the standby. */
  readonly delays: readonly number[]
  /** How long it holds its log back for a reader. */
  readonly patience: '0' | '100ms' | '2s'
  readonly queries: number
}

const round: fc.Arbitrary<Round> = fc.constantFrom(...hypertableNames).chain((name) =>
  fc.record({
    name: fc.constant(name),
    steps: fc.integer({ min: 2, max: 7 }),
    seed: fc.nat(2 ** 30),
    touched: fc.subarray([...tableNames], { maxLength: 2 }),
    moves: fc.tuple(
      fc.array(plannedMove(name, 'reclaim', 'sweep'), { minLength: 2, maxLength: 5 }),
      fc.array(plannedMove(name, 'reclaim', 'sweep'), { minLength: 1, maxLength: 4 }),
    ),
    delays: fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 2 }),
    patience: fc.constantFrom('0', '100ms', '2s'),
    queries: fc.nat(2 ** 30),
  }),
)

/** TRUNCATE takes rows even from older snapshots; a subscriber would need another server. */
const kinds = registry.filter(({ name }) => !/TRUNCATE|subscriber/.test(name))
const focus = /chunks|lake|drain|late rows|outside/

/** So many rounds have the same `hot_standby_feedback`. */
const roundsOfOneFeedback = 3

/**
 * @throws Error that says what went wrong in which round.
 */
export async function runStandby(options: {
  /** An empty database of the primary. */
  readonly connectionString: string
  readonly standby: Standby
  readonly seed: number
  readonly rounds: number
  readonly onLine?: (line: string) => void
}): Promise<StandbyReport> {
  const { standby, seed, rounds } = options
  const world = await createWorld(options.connectionString)
  const lane = new StandbyLane(world, standby, options.onLine ?? (() => {}))
  let i = 0
  try {
    await lane.begin()
    for (const each of fc.sample(fc.noBias(round), { seed, numRuns: rounds })) {
      world.step = i
      await lane.round(each, Math.floor(i / roundsOfOneFeedback) % 2 === 1)
      i += 1
    }
    await lane.failOver()
    return { rounds: i, queries: world.queries, counts: lane.counts }
  } catch (error) {
    throw new Error(
      `round ${i} of seed ${seed}: ${(error as Error).message}\n${lane.log.join('\n')}\nagain: npm run oracle -- --standby --seed ${seed} --rounds ${i + 1}`,
      { cause: error },
    )
  } finally {
    await lane.end()
    await closeWorld(world).catch(() => {})
  }
}

/** Why an answer may be refused on the standby at a moment. */
interface Excuses {
  /** Its log goes on under the reader: PostgreSQL cancels one who is in the way. */
  readonly isReplaying: boolean
  /** Files that it still needs may have been removed: the primary does not know what it needs. */
  readonly mayMissFiles: boolean
}

type Rows = ReadonlyMap<string, Iterable<StoredRow>>

class StandbyLane {
  readonly counts = new Map<string, number>()
  /** Of the current round. */
  log: string[] = []
  readonly #world: World
  readonly #standby: Standby
  readonly #target: string
  readonly #onLine: (line: string) => void
  #engine: Tidemark | null = null
  #hasFeedback = false
  readonly #refused = new WeakSet<Reader>()

  constructor(world: World, standby: Standby, onLine: (line: string) => void) {
    this.#world = world
    this.#standby = standby
    this.#onLine = onLine
    const url = new URL(standby.connectionString)
    url.pathname = new URL(world.real.connectionString).pathname
    this.#target = url.href
  }

  async begin(): Promise<void> {
    await this.#standby.catchUp()
  }

  async end(): Promise<void> {
    await this.#engine?.close()
  }

  async round(round: Round, hasFeedback: boolean): Promise<void> {
    const { patience } = round
    this.log = []
    await this.#standby.configure({ max_standby_streaming_delay: patience })
    await this.#feedBack(hasFeedback)
    await this.#behind(round)
    await this.#whileItReplays(round)
    await this.#caughtUp(round)
  }

  /** Whether the primary is told what readers of the standby, and the standby itself, still need. */
  async #feedBack(isOn: boolean): Promise<void> {
    if (isOn === this.#hasFeedback) return
    await this.#standby.configure({ hot_standby_feedback: isOn ? 'on' : 'off' })
    this.#hasFeedback = isOn
    for (let tries = 0; isOn; tries += 1) {
      const { rows } = await this.#world.real.db.query(
        raw(`select xmin is not null from pg_replication_slots where slot_name = 'standby'`),
      )
      if (rows[0]![0] === true) return
      if (tries > 1000) throw new Error('the standby does not tell what it needs')
      await sleep(10)
    }
  }

  /** The standby stands still, and the primary goes on. */
  async #behind({ steps, seed, touched }: Round): Promise<void> {
    const world = this.#world
    await this.#standby.catchUp()
    await this.#standby.pause()
    const excuses = { isReplaying: false, mayMissFiles: !this.#hasFeedback }
    await this.#renew()
    const before = world.copyOfAll()
    const reader = await this.#openReader()
    for (const name of touched) await this.#read(reader, name, excuses)
    if (seed % 4 === 0) await this.#refuseWrites()
    for (const { kind, args, queries } of stepsOf(seed, steps, focus, kinds)) {
      const step = kinds.find(({ name }) => name === kind)!
      this.log.push(`${kind} ${show(args).slice(0, 600)}`)
      await world.closeOld()
      const outcome = await step.run(world, args)
      this.log[this.log.length - 1] += ` -> ${outcome}`
      const name = tableOf(args) ?? tableNames[queries % tableNames.length]!
      for (let i = 0; i < 2; i += 1) await this.#ask(name, queries + i, before, excuses, 'behind')
    }
    await world.closeAll()
    await this.#standby.resume()
    // its snapshot has grown old while the log goes on
    const replaying = { ...excuses, isReplaying: true }
    const reading = (async () => {
      for (const name of tableNames) await this.#read(reader, name, replaying, true)
    })()
    await Promise.all([this.#standby.catchUp(), reading]).finally(() => reader.close())
  }

  /** No row changes from here on: every snapshot of the standby shows the shadow, whatever has been replayed. */
  async #whileItReplays({ name, moves, delays, queries }: Round): Promise<void> {
    const world = this.#world
    const excuses = { isReplaying: true, mayMissFiles: !this.#hasFeedback }
    const rows = world.copyOfAll()
    await this.#renew()
    let isOver = false
    const moving = Promise.all(
      moves.map(async (list, mover) => {
        for (const each of list) await move(world, mover, name, each)
      }),
    ).finally(() => {
      isOver = true
    })
    const asking = (async () => {
      for (let i = 0; i < 30 && (i < 2 || !isOver); i += 1)
        await this.#ask(name, queries + i, rows, excuses, 'while it replays')
    })()
    const reading = Promise.all(
      delays.map(async (delay) => {
        await sleep(delay)
        const reader = await this.#openReader()
        await sleep(delay)
        await this.#read(reader, name, excuses)
        return reader
      }),
    )
    this.log.push(`moves of ${name}: ${show(moves)}`)
    const [readers] = await Promise.all([reading, moving, asking])
    const last = (async () => {
      for (const reader of readers) await this.#read(reader, name, excuses).finally(() => reader.close())
    })()
    await Promise.all([this.#standby.catchUp(), last])
  }

  /** It has everything, and nobody is in its way: nothing is refused. */
  async #caughtUp({ name, queries }: Round): Promise<void> {
    const world = this.#world
    await this.#standby.catchUp()
    await this.#renew()
    // autovacuum of the primary may still be in the way
    const excuses = { isReplaying: true, mayMissFiles: false }
    for (const each of [name, tableNames[queries % tableNames.length]!]) {
      const input = { limit: 1000 }
      for (let tries = 0; !(await this.#answer(each, input, world.model, excuses, 'caught up')); tries += 1)
        if (tries > 4) throw new Error(`the standby has caught up and does not answer over ${each}`)
    }
  }

  /** Whoever takes the standby for the primary is refused, and removes no file. */
  async #refuseWrites(): Promise<void> {
    const { lake } = this.#world.real
    const list = async (): Promise<string> => {
      const paths: string[] = []
      for await (const { path } of lake.store.list('')) paths.push(path)
      return paths.sort().join()
    }
    const definition = this.#world.definition('oracle.events') as HypertableDefinition
    const mover = createMover(this.#target, lake.store, this.#world.clock, 0)
    const before = await list()
    try {
      const { lifecycle } = mover
      const calls: Readonly<Record<string, () => Promise<unknown>>> = {
        sweep: () => lifecycle.sweep(),
        freeze: () => lifecycle.freeze(definition),
        compact: () => lifecycle.compact(definition),
        thaw: () => lifecycle.thaw(definition),
        expire: () => lifecycle.expire(definition, { cutoff: this.#world.clock.now() }),
        erase: () => this.#engine!.eraseUnknown('oracle.events', { where: { num: 1 } }),
        insert: () =>
          this.#engine!.insertUnknown('oracle.settings', [{ tag: 'standby', version: 9, num: 1 }]),
      }
      for (const [what, call] of Object.entries(calls)) {
        const done = await call().then(
          (value) => JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}` : inner)),
          (error: unknown) => {
            this.#count(`${what} there: ${codeOf(error)}`)
            return null
          },
        )
        // what finds nothing to do, or fails chunk by chunk, need not be refused as a whole
        if (done !== null) this.#count(`${what} there: nothing`)
        if (done !== null && !/"chunks":0|"removed":0/.test(done))
          throw new Error(`${what} on the standby gave ${done}`)
      }
      if ((await list()) !== before) throw new Error('somebody who wrote to the standby has changed the lake')
    } finally {
      await mover.db.close()
    }
  }

  /** The primary dies, the standby takes its place: it has every row, moves on, and removes nothing before it is told to. */
  async failOver(): Promise<void> {
    const world = this.#world
    this.log = ['fail over']
    await this.#standby.catchUp()
    await this.#renew()
    await this.#standby.promote()
    for (const name of tableNames)
      await this.#answer(
        name,
        { limit: 1000 },
        world.model,
        { isReplaying: false, mayMissFiles: false },
        'promoted',
      )
    const { lake } = world.real
    // a lake that the old primary never wrote to is nobody's
    const wasUsed = !(await lake.store.list('')[Symbol.asyncIterator]().next()).done
    const mover = createMover(this.#target, lake.store, world.clock, 0)
    try {
      for (const name of hypertableNames)
        for (const kind of ['compact', 'thaw', 'freeze'] as const)
          await mover.lifecycle[kind](world.definition(name) as HypertableDefinition)
      const { removed, held } = await mover.lifecycle.sweep()
      if (removed > 0 || (held === null && wasUsed))
        throw new Error('who was promoted removes files before it is told that it may')
      await mover.lifecycle.sweep({ adopt: true })
      for (const name of tableNames)
        await this.#answer(
          name,
          { limit: 1000 },
          world.model,
          { isReplaying: false, mayMissFiles: false },
          'promoted',
        )
      await verifyLake(world, mover.lifecycle, true)
    } finally {
      await mover.db.close()
    }
  }

  /** An engine on the standby, with the declarations that hold there. */
  async #renew(): Promise<void> {
    const definitions = [...this.#world.definitions.values()]
    const isCurrent = definitions.every((definition) => this.#engine?.datasets.includes(definition))
    if (isCurrent) return
    await this.#engine?.close()
    this.#engine = await this.#world.createEngine(definitions, this.#target)
  }

  async #openReader(): Promise<Reader> {
    const lent = await this.#world.connect(this.#target)
    const reader = await openReader(this.#world, lent, 0)
    return {
      ...reader,
      async close() {
        // who was in the way of the log may have no connection any more
        await lent.connection.execute('rollback').catch(() => {})
        await lent.close()
        return 'left'
      },
    }
  }

  /**
   * Whether everything was there; who was refused once is refused for good. `mayBeDrained`: to empty the default partition the
   * primary waits for older snapshots of its own, and knows nothing of those here, so what lay in it may come early, or be gone.
   */
  async #read(reader: Reader, name: string, excuses: Excuses, mayBeDrained = false): Promise<void> {
    if (this.#refused.has(reader)) return
    try {
      const chunks = mayBeDrained ? await chunkStates(reader.connection, reader.definitions.get(name)!) : []
      const isInChunk = (time: unknown): boolean =>
        chunks.some(
          ({ relation, from, to }) => relation !== null && from <= (time as bigint) && (time as bigint) < to,
        )
      const isLoose = mayBeDrained && hypertableNames.includes(name)
      await readAll(this.#world, reader, name, isLoose ? isInChunk : undefined)
      this.#count('reader: right')
    } catch (error) {
      this.#excuse(error, excuses, `a reader of ${name}`)
      this.#refused.add(reader)
    }
  }

  async #ask(name: string, seed: number, rows: Rows, excuses: Excuses, when: string): Promise<void> {
    const definition = this.#engine!.dataset(name)
    const input = fc.sample(queriesOf(definition), { seed, numRuns: 1 })[0]!
    await this.#answer(name, input, rows, excuses, when)
  }

  /** One query through the engine on the standby: right, or refused with an excuse. False when it was refused. */
  async #answer(
    name: string,
    input: Readonly<Record<string, unknown>>,
    rows: Rows,
    excuses: Excuses,
    when: string,
  ): Promise<boolean> {
    const engine = this.#engine!
    let answer: Pick<Answer, 'rows'>
    try {
      answer = await answerOf((_, page) => engine.queryUnknown(name, page), input)
    } catch (error) {
      this.#excuse(error, excuses, `${show(input)} over ${name}, ${when},`)
      return false
    }
    compare(this.#world, engine.dataset(name), input, rows.get(name)!, answer, `on the standby, ${when}`)
    this.#count(`${when}: right`)
    return true
  }

  #excuse(error: unknown, { isReplaying, mayMissFiles }: Excuses, what: string): void {
    if (isDifference(error)) throw error
    const code =
      error instanceof FileIsGone ? 'TM_LAKE' : isTidemarkError(error) ? codeOf(error) : String(error)
    const isExcused = (mayMissFiles && code === 'TM_LAKE') || (isReplaying && conflicts.includes(code))
    if (!isExcused)
      throw new Error(`${what} was refused on the standby with ${code}: ${(error as Error).message}`, {
        cause: error,
      })
    this.#count(`${what.startsWith('a reader') ? 'reader' : 'query'}: ${code}`)
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
    this.#onLine(what)
  }
}

/** What PostgreSQL, and the engine over it, say to a reader who is in the way of the log. */
const conflicts: readonly string[] = ['40001', '40P01', '57P01', '55P03', '57014', 'TM_CONNECT', 'TM_BUSY']

/** Thrown by the oracle itself. */
function isDifference(error: unknown): boolean {
  return error instanceof Error && error.constructor === Error && !('code' in error)
}
