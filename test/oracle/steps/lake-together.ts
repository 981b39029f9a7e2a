import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Connection } from '../../../src/postgres/index.ts'
import type { Answer } from '../../../src/query/index.ts'
import type { HypertableDefinition } from '../../../src/schema/index.ts'
import { raw } from '../../../src/util/sql.ts'
import type { Draft } from '../draft.ts'
import { type KillPlan, underFire } from '../kill.ts'
import { checkStore } from '../lake.ts'
import { compare, isRows, limitFor, queriesOf } from '../queries.ts'
import { runOp } from '../sql-ops.ts'
import { defineStep, type StepKind } from '../step.ts'
import { firstDay, hypertableNames, type InputRow, rowsArbitrary, tableNames } from '../tables.ts'
import { storedRow } from '../values.ts'
import { codeOf, endOf, isBusy, isOvertaken, type World } from '../world.ts'
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

export interface PlannedMove {
  readonly kind: MoveKind | 'reclaim' | 'sweep'
  readonly choice: Choice
}

export const plannedMove = (name: string, ...more: ('reclaim' | 'sweep')[]): fc.Arbitrary<PlannedMove> =>
  fc.record({ kind: fc.constantFrom(...moveKinds, 'freeze' as const, ...more), choice: choice(name) })

/** Runs one; null when it did not come to its end, for a reason that others who are at work may give. */
export async function move(
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
    if (kind === 'thaw' && code === 'TM_MIGRATION' && world.isPublished(name)) return false
    if (kind === 'thaw' && code === 'TM_CHUNK_CAP') return false
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
    const inputs = fc.sample(queriesOf(definition), { seed: queries, numRuns: 15 })
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
    // a thaw attaches partitions and a reclaim drops them, which readers may have to wait for; the others have no such lock
    const mayRead = moves.flat().every(({ kind }) => kind !== 'thaw' && kind !== 'reclaim')
    const reading = Promise.all(
      lent.map(async (connection, i) => {
        await sleep(delays[i]!)
        const reader = await openReader(world, connection, 0)
        // the others hold no lock yet: a partition may be dropped under their hands
        while (mayRead && i % 2 === 0 && !isOver) {
          await readImpatiently(reader.connection, name)
          await sleep(20)
        }
        return reader
      }),
    )
    const [done, , readers] = await Promise.all([work, asking, reading])
    for (const reader of readers) await reader.close()
    await checkStore(world.real.lake, world.real.db)
    return `${done[0]! + done[1]!} of ${moves[0].length + moves[1].length}`
  },
})

/** No freeze makes a reader wait for 200 ms: PostgreSQL itself would say so, with 55P03. */
async function readImpatiently(connection: Connection, name: string): Promise<void> {
  await connection.execute(
    `set local lock_timeout = 200; select count(*) from ${name}; set local lock_timeout = 0`,
  )
}

/** What somebody writes while chunks move. */
type Write =
  | { readonly do: 'insert'; readonly rows: readonly InputRow[] }
  | { readonly do: 'delete' | 'update'; readonly num: number }

export const planned = (name: string) =>
  fc.record({
    write: fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant('insert' as const),
          rows: rowsArbitrary(name, { maxLength: 8 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constantFrom('delete' as const, 'update' as const, 'update' as const),
          num: fc.integer({ min: -3, max: 9 }),
        }),
      },
    ),
    byEngine: fc.boolean(),
    pause: fc.integer({ min: 0, max: 12 }),
  })

const writersStep = defineStep({
  name: 'writers while two move',
  weight: 7,
  args: fc.constantFrom('oracle.events', 'oracle.events', 'oracle.keyed', 'oracle.ledger').chain((name) =>
    fc.record({
      name: fc.constant(name),
      moves: fc.tuple(
        fc.array(plannedMove(name), { minLength: 1, maxLength: 3 }),
        fc.array(plannedMove(name, 'reclaim', 'sweep'), { minLength: 0, maxLength: 2 }),
      ),
      writes: fc.array(planned(name), { minLength: 2, maxLength: 12, size: 'max' }),
      // everything is in the lake already, and is written anew while the engine takes rows back
      isCold: fc.boolean(),
    }),
  ),
  async run(world, { name, moves: given, writes, isCold }) {
    const definition = world.definition(name)
    const moves = isCold
      ? [given[0].map(({ choice }) => ({ kind: 'compact', choice }) as const), given[1]]
      : given
    if (isCold) await move(world, 0, name, { kind: 'freeze', choice: { kind: 'all', pick: 0, at: 0n } })
    const draft = world.draft(name)
    const canUseEngine = definition === world.engineDefinition(1, name)
    let done = 0
    let isOver = false
    /** One after the other, so the shadow knows what each of them sees; again from the start while somebody still moves. */
    const writeAll = async (): Promise<void> => {
      for (let i = 0; i < writes.length || (!isOver && i < 24); i += 1) {
        const { write, byEngine, pause } = writes[i % writes.length]!
        await sleep(pause)
        if (await writeOne(world, name, draft, write, (byEngine || isCold) && canUseEngine)) done += 1
      }
    }
    const moving = Promise.all(
      moves.map(async (list, mover) => {
        for (const each of list) await move(world, mover, name, each)
      }),
    ).finally(() => {
      isOver = true
    })
    for (const result of await Promise.allSettled([writeAll(), moving]))
      if (result.status === 'rejected') throw result.reason
    world.commit(name, draft)
    await checkStore(world.real.lake, world.real.db)
    return `${isCold ? 'cold, ' : ''}${done === 0 ? 'none was done' : 'done'}`
  },
})

/** As an application or psql would; psql may be told that rows are cold, the engine must not. */
export async function writeOne(
  world: World,
  name: string,
  draft: Draft,
  write: Write,
  byEngine: boolean,
): Promise<boolean> {
  const { definition } = draft
  if (definition.appendOnly && write.do !== 'insert') return false
  const undo = draft.save()
  let fits = true
  let expected = 0
  let run: () => Promise<number>
  if (write.do === 'insert') {
    const rows = world.complete(definition, write.rows)
    if (rows.length === 0) return false
    fits = draft.add(rows.map((row) => storedRow(definition, row)))
    expected = rows.length
    run = () =>
      byEngine
        ? world.engine(1).insertUnknown(name, rows, { signal: world.patience() })
        : inTransaction(world, (connection) => runOp(connection, definition, { op: 'insert', rows }))
  } else {
    const mark = world.nextMark()
    const selection = { where: { num: write.num } }
    const before = draft.visible().filter((row) => row['num'] === write.num)
    for (const row of before) draft.remove(row)
    if (write.do === 'update') draft.add(before.map((row) => ({ ...row, mark })))
    expected = before.length
    const statement =
      write.do === 'delete'
        ? `delete from ${name} where num = ${write.num}`
        : `update ${name} set mark = '${mark}' where num = ${write.num}`
    const call = world.engine(1) as unknown as Record<
      'update' | 'delete',
      (table: object, change: object, options: object) => Promise<number>
    >
    run = () =>
      byEngine
        ? call[write.do as 'update'](
            definition,
            { ...selection, ...(write.do === 'update' ? { set: { mark } } : {}) },
            { signal: world.patience() },
          )
        : inTransaction(world, async (connection) => (await connection.query(raw(statement))).rowCount)
  }
  let count: number
  try {
    count = await run()
  } catch (error) {
    undo()
    if (!byEngine && isOvertaken(error)) return false
    const code = codeOf(error)
    const isAllowed =
      isBusy(code) ||
      code === 'TM_CHUNK_CAP' ||
      code === 'TM_EXPIRED' ||
      (code === 'TM_DUPLICATE_KEY' && !fits) ||
      (!byEngine && isColdCode(code) && (write.do !== 'insert' || definition.primaryKey !== null))
    if (!isAllowed) throw new Error(`${write.do} while two move gave ${code}`, { cause: error })
    return false
  }
  if (!fits) throw new Error(`rows of one key went into ${name} while two move`)
  if (count !== expected)
    throw new Error(
      `${write.do} of ${name} ${byEngine ? 'by the engine ' : ''}while two move took ${count} of ${expected} rows`,
    )
  return true
}

function inTransaction(world: World, use: (connection: Connection) => Promise<number>): Promise<number> {
  return world.real.db.transaction({ lockTimeoutMs: 2000 }, use)
}

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
  async run(world, { name, limit: given, direction, moves }) {
    // some pages more than moves
    const limit = Math.max(given, limitFor(world, name, moves.length + 4))
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
      const isPublished = kind === 'thaw' && code === 'TM_MIGRATION' && world.isPublished(name)
      const isOverTheCap = kind === 'thaw' && code === 'TM_CHUNK_CAP'
      if (!isKilled && !isBusy(code) && !isPublished && !isOverTheCap)
        throw new Error(`a ${kind} whose backend was ended gave ${code}`, { cause: ended.reason })
    }
    await checkStore(lake, db)
    await verifyLake(world, lifecycle, false)
    return `${kind} ${killed > 0 ? 'hit' : 'missed'}`
  },
})

const eraseStep = defineStep({
  name: 'rows are erased',
  weight: 4,
  args: fc.constantFrom(...tableNames).chain((name) =>
    fc.record({
      name: fc.constant(name),
      num: fc.integer({ min: -3, max: 9 }),
      engine: fc.nat(1),
      plan: fc.option(killPlan, { freq: 2, nil: null }),
    }),
  ),
  async run(world, { name, num, engine, plan }) {
    const { lake, db } = world.real
    const selection = { where: { num } }
    const matching = () => [...world.rows(name)].filter((row) => row['num'] === num)
    const erase = () => world.engine(engine).eraseUnknown(name, selection)
    let wasStopped = false
    for (let tries = 1; ; tries += 1) {
      const expected = matching().length
      const isKilled = tries === 1 && plan !== null
      lake.mayHaveStrays ||= isKilled
      const { ended } = await underFire(world, isKilled ? plan : { afterMs: 0, times: 0 }, erase)
      world.moved(name)
      if (ended.status === 'fulfilled') {
        const { isResumed, rowsHot, rowsCold } = ended.value
        // one of the same condition whose old files still wait counts on
        if (!wasStopped && !isResumed && rowsHot + rowsCold !== expected)
          throw new Error(`${rowsHot} and ${rowsCold} rows of ${name} were erased, not ${expected}`)
        break
      }
      const code = codeOf(ended.reason)
      const isOld = world.isOutdated(name, world.engineDefinition(engine, name))
      if (isOld && code === 'TM_MIGRATION') await world.restart(engine)
      else if (!isKilled && !isBusy(code))
        throw new Error(`erasing rows of ${name} gave ${code}`, { cause: ended.reason })
      if (tries > 4)
        throw new Error(`erasing rows of ${name} does not come to its end: ${code}`, { cause: ended.reason })
      wasStopped = true
      // a part may be gone; whoever may have been in the way ends, and the same call goes on with it
      await world.closeAll()
      if (isKilled)
        await db.execute(
          raw(`update tidemark.chunk set lease_until = now() - interval '1 s' where lease_until is not null`),
        )
    }
    for (const row of matching()) world.rows(name).delete(row)
    await checkStore(lake, db)
    return wasStopped ? 'gone on with' : 'done'
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
  eraseStep,
  referenceStep,
] as readonly unknown[] as readonly StepKind<never>[]
