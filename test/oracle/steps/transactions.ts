import fc from 'fast-check'
import type { Connection } from '../../../src/postgres/index.ts'
import { sql } from '../../../src/util/sql.ts'
import { Draft } from '../draft.ts'
import { applyOp, opArbitrary, runOp, type SqlOp } from '../sql-ops.ts'
import { defineStep, type StepKind } from '../step.ts'
import { tableNames } from '../tables.ts'
import type { StoredRow } from '../values.ts'
import { codeOf, coldCodes, isBusy, type World } from '../world.ts'
import { hasKey, isRefused } from './direct-sql.ts'

/** Transactions of several statements: committed, rolled back, with savepoints, prepared, or on a stale snapshot. */

interface Part {
  readonly op: SqlOp
  /** `undo`: the statement is rolled back to its savepoint. */
  readonly savepoint: 'none' | 'keep' | 'undo'
}

const maxParticipants = 4
let lastId = 0

export function nextId(): number {
  lastId += 1
  return lastId
}

export function hasRoom(world: World): boolean {
  return world.participants.length < maxParticipants
}

const transaction = fc.constantFrom(...tableNames).chain((name) =>
  fc.record({
    name: fc.constant(name),
    parts: fc.array(
      fc.record({
        op: opArbitrary(name, hasKey(name), 6),
        savepoint: fc.constantFrom<Part['savepoint']>('none', 'keep', 'undo'),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  }),
)

/** Runs the statements, each with its savepoint; false when one failed that had none, and all is to be rolled back. */
async function runParts(
  world: World,
  connection: Connection,
  draft: Draft,
  parts: readonly Part[],
  isStale: () => boolean = () => false,
  /** Rows of the table may have moved since its snapshot: what it wants may be there, and yet not as it was. */
  mayHaveMoved = false,
): Promise<boolean> {
  const { definition } = draft
  for (const { op, savepoint } of parts) {
    if (savepoint !== 'none') await connection.execute('savepoint s')
    const undo = draft.save()
    const applied = applyOp(draft, definition, op)
    const expected = isStale() ? 'fails' : applied
    let isDone = true
    try {
      await runOp(connection, definition, op)
    } catch (error) {
      const code = codeOf(error)
      const isConflict = code === '40001' && (isStale() || mayHaveMoved)
      const isAllowed =
        isBusy(code) ||
        ((isRefused(code) || isConflict) && expected !== 'ok') ||
        (isConflict && mayHaveMoved) ||
        // cold in its snapshot, and back since: it would not see the rows
        (coldCodes.includes(code) && mayHaveMoved) ||
        (await world.isCold(definition.name, code))
      if (!isAllowed)
        throw new Error(`${op.op} on ${definition.name} gave ${code}, expected: ${expected}`, {
          cause: error,
        })
      isDone = false
    }
    if (isDone && expected === 'fails')
      throw new Error(
        `${op.op} on ${definition.name} went through and should not have${isStale() ? ': its snapshot is stale' : ''}`,
      )
    if (!isDone && savepoint === 'none') return false
    if (!isDone || savepoint === 'undo') {
      await connection.execute('rollback to savepoint s')
      undo()
    }
  }
  return true
}

const transactionStep = defineStep({
  name: 'SQL transaction',
  weight: 6,
  args: fc.record({ transaction, isCommitted: fc.boolean() }),
  async run(world, { transaction: { name, parts }, isCommitted }) {
    const draft = world.draft(name)
    return world.real.db.withConnection(async (connection) => {
      await connection.execute(`begin; set local lock_timeout = '200ms'`)
      const isWhole = await runParts(world, connection, draft, parts)
      if (!isWhole || !isCommitted) {
        await connection.execute('rollback')
        return isWhole ? 'rolled back' : 'failed'
      }
      await connection.execute('commit')
      world.commit(name, draft)
      return 'committed'
    })
  },
})

const prepareStep = defineStep({
  name: 'PREPARE TRANSACTION',
  weight: 4,
  args: fc.record({
    transaction,
    isCommitted: fc.integer({ min: 0, max: 3 }),
    life: fc.integer({ min: 1, max: 10 }),
  }),
  async run(world, { transaction: { name, parts }, isCommitted, life }) {
    if (!hasRoom(world) || !world.canPrepare) return 'no room'
    const draft = world.draft(name)
    const id = nextId()
    const gid = `oracle ${id} of ${world.real.connectionString}`
    const isPrepared = await world.real.db.withConnection(async (connection) => {
      await connection.execute(`begin; set local lock_timeout = '200ms'`)
      const isWhole = await runParts(world, connection, draft, parts)
      await connection.execute(isWhole ? `prepare transaction '${gid}'` : 'rollback')
      return isWhole
    })
    if (!isPrepared) return 'failed'
    world.add({
      kind: 'prepared',
      id,
      closesAt: world.step + life,
      locksRows: true,
      seen: null,
      async close() {
        await world.real.db.withConnection((connection) =>
          connection.execute(`${isCommitted > 0 ? 'commit' : 'rollback'} prepared '${gid}'`),
        )
        if (isCommitted > 0) world.commit(name, draft)
        return isCommitted > 0 ? 'committed' : 'rolled back'
      },
    })
    return 'prepared'
  },
})

/** A REPEATABLE READ transaction that took its snapshot now and writes some steps later. */
const staleWriterStep = defineStep({
  name: 'a writer takes its snapshot',
  weight: 3,
  args: fc.record({
    transaction: transaction.map(({ name, parts }) => ({
      name,
      // what an upsert does to rows that its snapshot does not show is another story for each kind
      parts: parts.filter(({ op }) => ['insert', 'copy', 'update', 'shift', 'delete'].includes(op.op)),
    })),
    life: fc.integer({ min: 1, max: 12 }),
    isCommitted: fc.boolean(),
  }),
  async run(world, { transaction: { name, parts }, life, isCommitted }) {
    if (!hasRoom(world) || parts.length === 0) return 'no room'
    const lent = await world.connect()
    await lent.connection.execute(
      `begin isolation level repeatable read; set local lock_timeout = '200ms'; select pg_current_snapshot()`,
    )
    const seen = new Map<string, StoredRow[]>([[name, [...world.rows(name)]]])
    const epoch = await epochOf(world, name)
    const definition = world.definition(name)
    world.add({
      kind: 'writer',
      id: nextId(),
      closesAt: world.step + life,
      locksRows: false,
      seen,
      async close() {
        const now = world.rows(name)
        const draft = new Draft(definition, seen.get(name)!, now)
        const isStale = (): boolean => [...draft.removed].some((row) => !now.has(row))
        try {
          const mayHaveMoved = (await epochOf(world, name)) !== epoch
          const isWhole = await runParts(world, lent.connection, draft, parts, isStale, mayHaveMoved)
          if (!isWhole || !isCommitted) {
            await lent.connection.execute('rollback')
            return isWhole ? 'rolled back' : 'failed'
          }
          await lent.connection.execute('commit')
          world.commit(name, draft)
          return 'committed'
        } finally {
          await lent.close()
        }
      },
    })
    return 'opened'
  },
})

/** Changes whenever chunks come, go or move. */
async function epochOf(world: World, name: string): Promise<bigint> {
  const { schema, table } = world.definition(name)
  const { rows } = await world.real.db.query(sql`
    select coalesce(max(epoch), 0)::int8 from tidemark.hypertable
    where schema_name = ${schema}::text and table_name = ${table}::text`)
  return rows[0]![0] as bigint
}

const closeStep = defineStep({
  name: 'an open transaction ends',
  weight: 3,
  args: fc.nat(10),
  async run(world, pick) {
    const participant = world.participants[pick % Math.max(1, world.participants.length)]
    if (!participant) return 'none'
    return `${participant.kind} ${await world.close(participant)}`
  },
})

const lockedStep = defineStep({
  name: 'two prepared transactions at once',
  weight: 1,
  args: fc.nat(),
  async run(world, seed) {
    // their commits come in the other order than their writes: sequence numbers would lie here
    const [first, second] = fc.sample(transaction, { seed, numRuns: 2 })
    const ended: string[] = []
    for (const each of [first!, second!])
      ended.push(await prepareStep.run(world, { transaction: each, isCommitted: 1, life: 30 }))
    for (const participant of world.participants.filter(({ kind }) => kind === 'prepared').reverse())
      await world.close(participant)
    return ended.join(' and ')
  },
})

export const transactionSteps: readonly StepKind<never>[] = [
  transactionStep,
  prepareStep,
  staleWriterStep,
  closeStep,
  lockedStep,
] as readonly unknown[] as readonly StepKind<never>[]
