import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Answer } from '../../../src/query/index.ts'
import type { HypertableDefinition } from '../../../src/schema/index.ts'
import { isTidemarkError } from '../../../src/util/errors.ts'
import { raw } from '../../../src/util/sql.ts'
import { type KillPlan, underFire } from '../kill.ts'
import { checkStore } from '../lake.ts'
import { compare, queriesOf } from '../queries.ts'
import { runOp } from '../sql-ops.ts'
import { defineStep, type StepKind } from '../step.ts'
import { firstDay, hypertableNames, rowsArbitrary } from '../tables.ts'
import { storedRow } from '../values.ts'
import { codeOf, endOf, isBusy, type World } from '../world.ts'
import {
  type Choice,
  choice,
  followExpiry,
  type MoveKind,
  moveKinds,
  outcomeOf,
  selectionOf,
  verifyLake,
  wantedBy,
} from './lake.ts'
import { openReader } from './snapshots.ts'

/** Moves at the same moment as readers, writers, other movers; and moves that are killed. */

const anyHypertable = fc.constantFrom(...hypertableNames)

interface PlannedMove {
  readonly kind: MoveKind | 'reclaim' | 'sweep'
  readonly choice: Choice
}

const plannedMove = (name: string, ...more: ('reclaim' | 'sweep')[]): fc.Arbitrary<PlannedMove> =>
  fc.record({ kind: fc.constantFrom(...moveKinds, 'freeze' as const, ...more), choice: choice(name) })

/** Runs one; null when it did not come to its end, for a reason that others who are at work may give. */
async function move(
  world: World,
  mover: number,
  name: string,
  { kind, choice }: PlannedMove,
): Promise<boolean> {
  const { lifecycle } = world.real.lake.movers[mover]!
  const definition = world.definition(name) as HypertableDefinition
  try {
    if (kind === 'sweep') await lifecycle.sweep()
    else if (kind === 'reclaim') await lifecycle.reclaim(definition)
    else {
      const selection = await selectionOf(world, name, choice, wantedBy[kind])
      if (selection !== null) await lifecycle[kind](definition, selection)
    }
    return true
  } catch (error) {
    const code = codeOf(error)
    // a file that another mover dropped, or that a sweep without mercy took before it was named
    if (isBusy(code) || code === 'TM_LAKE') return false
    throw error
  } finally {
    world.moved(name)
  }
}

const readersStep = defineStep({
  name: 'readers while two move',
  weight: 6,
  args: anyHypertable.chain((name) =>
    fc.record({
      name: fc.constant(name),
      moves: fc.tuple(
        fc.array(plannedMove(name, 'reclaim'), { minLength: 1, maxLength: 3 }),
        fc.array(plannedMove(name, 'reclaim', 'sweep'), { minLength: 0, maxLength: 3 }),
      ),
      delays: fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 2 }),
      queries: fc.nat(2 ** 30),
    }),
  ),
  async run(world, { name, moves, delays, queries }) {
    // no row changes, so every answer and every snapshot is the shadow, whenever it was taken
    const definition = world.engineDefinition(0, name)
    const inputs = fc.sample(queriesOf(definition), { seed: queries, numRuns: 40 })
    const rows = [...world.rows(name)]
    const lent = await Promise.all(delays.map(() => world.connect()))
    let isOver = false
    const work = Promise.all(
      moves.map(async (list, mover) => {
        let done = 0
        for (const each of list) if (await move(world, mover, name, each)) done += 1
        return done
      }),
    ).finally(() => {
      isOver = true
    })
    work.catch(() => {})
    const asking = (async () => {
      for (let i = 0; i < inputs.length && (i === 0 || !isOver); i += 1) {
        const input = { ...inputs[i]!, ...(isRows(inputs[i]!) ? { limit: 1000 } : {}) }
        const answer = await world.engine(0).queryUnknown(name, input)
        if (answer.cursor === null)
          compare(world, definition, input, rows, answer, `step ${world.step}, while two move`)
      }
    })()
    const reading = Promise.all(
      lent.map(async (connection, i) => {
        await sleep(delays[i]!)
        return openReader(world, connection, 0)
      }),
    )
    const [done, , readers] = await Promise.all([work, asking, reading])
    for (const reader of readers) await reader.close()
    await checkStore(world.real.lake, world.real.db)
    return `${done[0]! + done[1]!} of ${moves[0].length + moves[1].length}`
  },
})

function isRows(input: Readonly<Record<string, unknown>>): boolean {
  return input['select'] === undefined && input['latestBy'] === undefined
}

const writersStep = defineStep({
  name: 'writers while two move',
  weight: 6,
  args: fc.constantFrom('oracle.events', 'oracle.events', 'oracle.keyed', 'oracle.ledger').chain((name) =>
    fc.record({
      name: fc.constant(name),
      moves: fc.tuple(
        fc.array(plannedMove(name), { minLength: 1, maxLength: 2 }),
        fc.array(plannedMove(name, 'reclaim', 'sweep'), { minLength: 0, maxLength: 2 }),
      ),
      lists: fc.array(rowsArbitrary(name, { maxLength: 10 }), { minLength: 1, maxLength: 4 }),
      pauses: fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 4, maxLength: 4 }),
      deleted: fc.integer({ min: -3, max: 9 }),
    }),
  ),
  async run(world, { name, moves, lists, pauses, deleted }) {
    const definition = world.definition(name)
    const draft = world.draft(name)
    const ended: string[] = []
    const write = async (): Promise<void> => {
      for (const [i, given] of lists.entries()) {
        await sleep(pauses[i]!)
        if (i === 2 && !definition.appendOnly) await deleteSome()
        const rows = world.complete(definition, given)
        const save = draft.save()
        const fits = draft.add(rows.map((row) => storedRow(definition, row)))
        const byEngine = i % 2 === 0 && definition === world.engineDefinition(1, name)
        try {
          if (byEngine) await world.engine(1).insertUnknown(name, rows, { signal: world.patience() })
          else
            await world.real.db.transaction({ lockTimeoutMs: 2000 }, (connection) =>
              runOp(connection, definition, { op: 'insert', rows }),
            )
          if (!fits) throw new Error(`rows of one key went into ${name} while two move`)
          ended.push('in')
        } catch (error) {
          const code = codeOf(error)
          if (fits) save()
          const isAllowed =
            isBusy(code) ||
            code === 'TM_CHUNK_CAP' ||
            (code === 'TM_DUPLICATE_KEY' && !fits) ||
            (definition.primaryKey !== null && !byEngine && isColdCode(code))
          if (!isAllowed) throw error
          ended.push(code)
        }
      }
    }
    /** As psql would: over hot rows it goes through, over cold ones it is refused. */
    const deleteSome = async (): Promise<void> => {
      try {
        const count = await world.real.db.transaction({ lockTimeoutMs: 2000 }, async (connection) => {
          const { rowCount } = await connection.query(
            raw(`delete from ${definition.schema}.${definition.table} where num = ${deleted}`),
          )
          return rowCount
        })
        const gone = draft.visible().filter((row) => row['num'] === deleted)
        if (count !== gone.length)
          throw new Error(`a DELETE of ${name} while two move took ${count} of ${gone.length} rows`)
        for (const row of gone) draft.remove(row)
        ended.push('deleted')
      } catch (error) {
        if (!isTidemarkError(error) || !(isBusy(codeOf(error)) || isColdCode(codeOf(error)))) throw error
        ended.push('refused')
      }
    }
    const results = await Promise.allSettled([
      write(),
      ...moves.map(async (list, mover) => {
        for (const each of list) await move(world, mover, name, each)
      }),
    ])
    for (const result of results) if (result.status === 'rejected') throw result.reason
    world.commit(name, draft)
    await checkStore(world.real.lake, world.real.db)
    return `${ended.filter((each) => each === 'in').length} of ${lists.length}`
  },
})

function isColdCode(code: string): boolean {
  return code === 'TM002' || code === 'TM_COLD'
}

const pagesStep = defineStep({
  name: 'chunks move between two pages',
  weight: 5,
  args: anyHypertable.chain((name) =>
    fc.record({
      name: fc.constant(name),
      limit: fc.integer({ min: 1, max: 40 }),
      direction: fc.constantFrom('asc', 'desc'),
      moves: fc.array(plannedMove(name, 'reclaim'), { minLength: 1, maxLength: 4 }),
    }),
  ),
  async run(world, { name, limit, direction, moves }) {
    const definition = world.engineDefinition(0, name)
    const engines = definition === world.engineDefinition(1, name) ? 2 : 1
    const seen: Answer['rows'][number][] = []
    let cursor: string | null = null
    let page = 0
    for (; page === 0 || cursor !== null; page += 1) {
      const input = { limit, direction, ...(cursor === null ? {} : { cursor }) }
      const answer: Answer = await world.engine(page % engines).queryUnknown(name, input)
      seen.push(...answer.rows)
      cursor = answer.cursor
      const next = moves[page]
      if (next !== undefined) await move(world, page % 2, name, next)
    }
    compare(
      world,
      definition,
      { limit, direction },
      world.rows(name),
      { rows: seen },
      `step ${world.step}, pages over moves`,
    )
    return page <= 1 ? 'one page' : 'pages'
  },
})

const killPlan: fc.Arbitrary<KillPlan> = fc.record({
  afterMs: fc.oneof(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 60 })),
  times: fc.integer({ min: 1, max: 4 }),
})

const killedStep = defineStep({
  name: 'a move is killed',
  weight: 6,
  args: anyHypertable.chain((name) =>
    fc.record({
      name: fc.constant(name),
      kind: fc.constantFrom(...moveKinds, 'freeze', 'reclaim', 'sweep', 'expire'),
      choice: choice(name),
      cutoff: fc.constantFrom(0n, firstDay - 20n * 86_400_000_000n, firstDay),
      mover: fc.nat(1),
      plan: killPlan,
    }),
  ),
  async run(world, { name, kind, choice, cutoff, mover, plan }) {
    const { lake, db } = world.real
    const { lifecycle } = lake.movers[mover]!
    const definition = world.definition(name) as HypertableDefinition
    const selection =
      kind in wantedBy ? await selectionOf(world, name, choice, wantedBy[kind as MoveKind]) : {}
    if (selection === null) return 'none'
    lake.mayHaveStrays = true
    const { ended, killed } = await underFire(world, plan, async () => {
      if (kind === 'sweep') await lifecycle.sweep()
      else if (kind === 'reclaim') await lifecycle.reclaim(definition)
      else if (kind === 'expire') await lifecycle.expire(definition, { cutoff })
      else await lifecycle[kind as MoveKind](definition, selection)
    })
    world.moved(name)
    if (kind === 'expire') await followExpiry(world, name, cutoff, ended.status === 'fulfilled')
    if (ended.status === 'rejected') {
      const code = codeOf(ended.reason)
      const isKilled = ['TM_CONNECT', 'TM_COMMIT_UNKNOWN', '57P01'].includes(code)
      if (!isKilled && !isBusy(code))
        throw new Error(`a ${kind} whose backend was ended gave ${code}`, { cause: ended.reason })
    }
    await checkStore(lake, db)
    await verifyLake(world, lifecycle, false)
    return `${kind} ${killed > 0 ? 'hit' : 'missed'}`
  },
})

const referenceStep = defineStep({
  name: 'a foreign key keeps rows from moving',
  weight: 2,
  args: fc.record({ choice: choice('oracle.keyed'), mover: fc.nat(1) }),
  async run(world, { choice, mover }) {
    const name = 'oracle.keyed'
    const definition = world.definition(name) as HypertableDefinition
    const { db, lake } = world.real
    const relation = 'oracle.reference'
    const add = raw(`create table ${relation} (
      tag text, "time" timestamptz, foreign key (tag, "time") references oracle.keyed (tag, "time"))`)
    const made = await endOf(world, () =>
      db.transaction({ lockTimeoutMs: 100 }, (connection) => connection.execute(add)),
    )
    if (!made.ok) {
      if (isBusy(made.code)) return 'busy'
      throw new Error(`a foreign key gave ${made.code}`)
    }
    try {
      const selection = await selectionOf(world, name, choice, wantedBy.freeze)
      if (selection === null) return 'none'
      const end = await endOf(world, () => lake.movers[mover]!.lifecycle.freeze(definition, selection))
      if (
        end.ok &&
        (end.value.chunks > 0 || end.value.failed.some(({ reason }) => !/foreign key/.test(reason)))
      )
        throw new Error(
          `a foreign key points at ${name}, and a freeze gave ${JSON.stringify(end.value.failed)}`,
        )
      if (!end.ok && end.code !== 'TM_MIGRATION' && !isBusy(end.code))
        throw new Error(`a foreign key points at ${name}, and a freeze gave ${end.code}`)
      return end.ok && end.value.failed.length === 0 ? outcomeOf(world, end, 'freeze') : 'refused'
    } finally {
      await drop(world, relation)
    }
  },
})

async function drop(world: World, relation: string): Promise<void> {
  // its lock on the table that it points at may have to be waited for
  await world.closeAll()
  await world.real.db.transaction({ lockTimeoutMs: 20_000 }, (connection) =>
    connection.execute(raw(`drop table ${relation}`)),
  )
}

export const lakeTogetherSteps: readonly StepKind<never>[] = [
  readersStep,
  writersStep,
  pagesStep,
  killedStep,
  referenceStep,
] as readonly unknown[] as readonly StepKind<never>[]
