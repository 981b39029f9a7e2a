import fc from 'fast-check'
import { identifier, printSqlInline, raw } from '../../../src/util/sql.ts'
import { applyOp, opArbitrary, runOp } from '../sql-ops.ts'
import { defineStep, type StepKind } from '../step.ts'
import { farTime, hypertableNames, oracleTables, rowArbitrary, tableNames } from '../tables.ts'
import { type StoredRow, storedRow } from '../values.ts'
import { endOf, isBusy, type World } from '../world.ts'

/** Statements of others: on the table itself, on its partitions, outside of every chunk. */

export const hasKey = (name: string): boolean =>
  oracleTables.find((table) => table.name === name)!.primaryKey !== null

/** What PostgreSQL says when a statement has to fail: a key, the partition's range, the append-only guard. */
export const refusedCodes = ['TM_DUPLICATE_KEY', 'TM_CONSTRAINT', 'TM001'] as const

export function isRefused(code: string): boolean {
  return (refusedCodes as readonly string[]).includes(code)
}

const statementStep = defineStep({
  name: 'SQL statement',
  weight: 12,
  args: fc
    .constantFrom(...tableNames)
    .chain((name) => fc.record({ name: fc.constant(name), op: opArbitrary(name, hasKey(name)) })),
  async run(world, { name, op }) {
    const definition = world.definition(name)
    const draft = world.draft(name)
    const expected = applyOp(draft, definition, op)
    const end = await endOf(world, () =>
      world.real.db.transaction({ lockTimeoutMs: 200 }, (connection) => runOp(connection, definition, op)),
    )
    return settle(world, name, expected, end, () => world.commit(name, draft), op.op)
  },
})

async function settle(
  world: World,
  name: string,
  expected: string,
  end: { ok: true } | { ok: false; code: string },
  commit: () => void,
  what: string,
): Promise<string> {
  if (end.ok) {
    if (expected === 'fails') throw new Error(`${what} on ${name} went through and should not have`)
    commit()
    return what
  }
  if (isBusy(end.code)) return 'busy'
  if (isRefused(end.code) && expected !== 'ok') return `${what} refused`
  if (await world.isCold(name, end.code)) return `${what} over cold rows refused`
  throw new Error(`${what} on ${name} gave ${end.code}, expected: ${expected}`)
}

/** Attached partitions with what lies in them: chunks, and the default partition at the end. */
export async function partitionsOf(world: World, name: string) {
  const { schema, table } = world.definition(name)
  const states = await world.chunkStates(name)
  const chunks = states.filter(({ relation }) => relation !== null)
  // what was late for these lies in the default partition, the rest of them in files: rows alone do not tell
  const hidden = states.filter(({ relation, state }) => relation === null && state === 'cold')
  const { rows } = await world.real.db.query(
    raw(`select partdefid::regclass::text from pg_partitioned_table
      where partrelid = '${printSqlInline(identifier(schema, table))}'::regclass`),
  )
  const inChunk = (row: StoredRow, { from, to }: { from: bigint; to: bigint }): boolean =>
    (row['time'] as bigint) >= from && (row['time'] as bigint) < to
  return [
    ...chunks.map((chunk) => ({
      target: printSqlInline(identifier('tidemark_chunks', chunk.relation!)),
      isDefault: false,
      isMixed: chunk.state === 'cold',
      range: chunk as { from: bigint; to: bigint } | null,
      holds: (row: StoredRow) => inChunk(row, chunk),
    })),
    {
      target: rows[0]![0] as string,
      isDefault: true,
      isMixed: [...world.rows(name)].some((row) => hidden.some((chunk) => inChunk(row, chunk))),
      range: null as { from: bigint; to: bigint } | null,
      holds: (row: StoredRow) => !chunks.some((chunk) => inChunk(row, chunk)),
    },
  ]
}

const partitionStep = defineStep({
  name: 'SQL statement on a partition',
  weight: 8,
  args: fc.constantFrom(...hypertableNames).chain((name) =>
    fc.record({
      name: fc.constant(name),
      op: opArbitrary(name, hasKey(name)),
      pick: fc.nat(30),
      // rows of an insert are put where they belong, or the partition refuses them
      isPlaced: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
    }),
  ),
  async run(world, { name, op: given, pick, isPlaced }) {
    const definition = world.definition(name)
    const partitions = await partitionsOf(world, name)
    const partition = partitions[pick % partitions.length]!
    if (partition.isDefault && partition.isMixed) return 'rows here and in the lake'
    const { range } = partition
    const op =
      'rows' in given && isPlaced && range
        ? {
            ...given,
            rows: given.rows.map((row, i) => {
              const { time } = storedRow(definition, row) as { time: bigint }
              const shift = (time < 0n ? -time : time) % (range.to - range.from)
              return { ...row, time: i === 0 ? range.to - 1n : range.from + shift }
            }),
          }
        : given
    const draft = world.draft(name)
    const expected = applyOp(draft, definition, op, partition.holds)
    const end = await endOf(world, () =>
      world.real.db.transaction({ lockTimeoutMs: 200 }, (connection) =>
        runOp(connection, definition, op, partition.target),
      ),
    )
    return settle(world, name, expected, end, () => world.commit(name, draft), op.op)
  },
})

export const outsideStep = defineStep({
  name: 'SQL rows outside every chunk',
  weight: 4,
  args: fc.constantFrom(...hypertableNames).chain((name) =>
    fc.record({
      name: fc.constant(name),
      rows: fc.array(rowArbitrary(name, farTime), { minLength: 1, maxLength: 5 }),
    }),
  ),
  async run(world, { name, rows }) {
    const definition = world.definition(name)
    const draft = world.draft(name)
    const expected = applyOp(draft, definition, { op: 'insert', rows })
    const end = await endOf(world, () =>
      world.real.db.transaction({ lockTimeoutMs: 200 }, (connection) =>
        runOp(connection, definition, { op: 'insert', rows }),
      ),
    )
    return settle(world, name, expected, end, () => world.commit(name, draft), 'insert')
  },
})

const truncateStep = defineStep({
  name: 'TRUNCATE of a partition',
  weight: 2,
  args: fc.record({ name: fc.constantFrom(...hypertableNames), pick: fc.nat(30) }),
  async run(world, { name, pick }) {
    const partitions = await partitionsOf(world, name)
    const { target, holds, isDefault, isMixed } = partitions[pick % partitions.length]!
    if (isDefault && isMixed) return 'rows here and in the lake'
    // a snapshot from before may have these rows in the lake, where TRUNCATE does not take them
    if (world.movesOf(name) > 0 && world.participants.some(({ seen }) => seen !== null)) return 'none'
    const end = await endOf(world, () =>
      world.real.db.transaction({ lockTimeoutMs: 100 }, (connection) =>
        connection.execute(`truncate ${target}`),
      ),
    )
    const isRefusedHere = world.definition(name).appendOnly
    return settle(
      world,
      name,
      isRefusedHere ? 'fails' : 'ok',
      end,
      () => world.truncate(name, holds),
      'truncate',
    )
  },
})

export const directSqlSteps: readonly StepKind<never>[] = [
  statementStep,
  partitionStep,
  outsideStep,
  truncateStep,
] as readonly unknown[] as readonly StepKind<never>[]
