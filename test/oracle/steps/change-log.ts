import fc from 'fast-check'
import { auditHypertable, findHypertable } from '../../../src/changelog/index.ts'
import { raw } from '../../../src/util/sql.ts'
import { runOp } from '../sql-ops.ts'
import { defineStep, type StepKind } from '../step.ts'
import { rowArbitrary } from '../tables.ts'
import { storedRow } from '../values.ts'
import type { World } from '../world.ts'
import { partitionsOf } from './direct-sql.ts'

/** Consumers of the change log: what they keep must be what a full look shows. The worker's runs trim and audit. */

const refreshStep = defineStep({
  name: 'a consumer catches up',
  weight: 12,
  args: fc.record({ pick: fc.nat(7), turnsBack: fc.integer({ min: 0, max: 4 }).map((n) => n === 0) }),
  async run(world, { pick, turnsBack }) {
    await refresh(world, pick, turnsBack)
    return turnsBack ? 'and fails at its end' : 'done'
  },
})

async function refresh(world: World, pick: number, turnsBack: boolean): Promise<void> {
  const consumer = world.consumers[pick % world.consumers.length]!
  const { rows } = await consumer.refresh(turnsBack)
  const expected = world.rows(consumer.definition.name).size
  if (rows !== expected)
    throw new Error(`${consumer.definition.name} has ${rows} rows, the shadow ${expected}`)
}

export async function refreshAll(world: World): Promise<void> {
  for (const pick of world.consumers.keys()) await refresh(world, pick, false)
}

const unloggedStep = defineStep({
  name: 'a write without an entry is found by the audit',
  weight: 1,
  args: fc.record({ row: rowArbitrary('oracle.events'), pick: fc.nat(30) }),
  async run(world, { row: given, pick }) {
    const name = 'oracle.events'
    const definition = world.definition(name)
    const before = await auditHypertable(world.real.db, definition)
    if (before.unlogged.length > 0) throw new Error(`the audit of ${name} found a change that nobody hid`)
    const partitions = await partitionsOf(world, name)
    const partition = partitions[pick % partitions.length]!
    const time = partition.range ? partition.range.from : (given['time'] as bigint)
    const row = { ...given, time }
    if (!partition.holds(storedRow(definition, row))) return 'none'
    const { id } = await findHypertable(world.real.db, definition)
    // says that it logs by itself, and does not
    await world.real.db.transaction({}, async (connection) => {
      await connection.query(raw(`select tidemark.begin_logged_write(${id})`))
      await runOp(connection, definition, { op: 'insert', rows: [row] }, partition.target)
    })
    const draft = world.draft(name)
    draft.add([storedRow(definition, row)])
    world.commit(name, draft)
    const after = await auditHypertable(world.real.db, definition)
    if (after.unlogged.length !== 1)
      throw new Error(`the audit found ${after.unlogged.length} unlogged changes in place of one`)
    await refresh(
      world,
      world.consumers.findIndex((c) => c.definition.name === name),
      false,
    )
    return 'found'
  },
})

export const changeLogSteps: readonly StepKind<never>[] = [
  refreshStep,
  unloggedStep,
] as readonly unknown[] as readonly StepKind<never>[]
