import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { type PostgresSnapshot, withReadSnapshot } from '../../../src/hot/index.ts'
import type { Connection } from '../../../src/postgres/index.ts'
import type { HypertableDefinition, StoredDefinition } from '../../../src/schema/index.ts'
import { identifier, join, sql } from '../../../src/util/sql.ts'
import { groupText } from '../../helpers/naive-values.ts'
import { selectCold } from '../lake.ts'
import { show, verifySnapshot } from '../queries.ts'
import { defineStep, type StepKind } from '../step.ts'
import { farTime, hypertableNames, rowArbitrary, tableNames } from '../tables.ts'
import type { Participant, World } from '../world.ts'
import { outsideStep } from './direct-sql.ts'
import { hasRoom, nextId } from './transactions.ts'

/** Readers that took their snapshot some steps ago, and idle transactions that hold locks. */

export interface Reader extends Participant {
  readonly kind: 'reader'
  readonly connection: Connection
  readonly definitions: ReadonlyMap<string, StoredDefinition>
}

export interface LentSnapshot extends Participant {
  readonly kind: 'lent-snapshot'
  readonly snapshot: PostgresSnapshot
}

const life = fc.integer({ min: 2, max: 14 })

const openReaderStep = defineStep({
  name: 'a reader takes its snapshot',
  weight: 4,
  // tables that it reads at once it holds locks on; the others can be truncated, drained, altered under its hands
  args: fc.record({ life, touched: fc.subarray([...tableNames], { maxLength: 2 }) }),
  async run(world, { life, touched }) {
    if (!hasRoom(world)) return 'no room'
    const reader = await openReader(world, await world.connect(), life)
    for (const name of touched) await readAll(world, reader, name)
    world.add(reader)
    return `of ${touched.length} tables`
  },
})

/** From here on the connection sees what is committed now. */
export async function openReader(
  world: World,
  lent: Awaited<ReturnType<World['connect']>>,
  life: number,
): Promise<Reader> {
  await lent.connection.execute(
    'begin isolation level repeatable read; select pg_current_snapshot(); set local statement_timeout = 20000',
  )
  const reader: Reader = {
    kind: 'reader',
    id: nextId(),
    closesAt: world.step + life,
    locksRows: false,
    seen: world.copyOfAll(),
    connection: lent.connection,
    definitions: new Map(world.definitions),
    async close() {
      for (const name of tableNames) await readAll(world, reader, name)
      await lent.connection.execute('rollback')
      await lent.close()
      return 'read all'
    },
  }
  return reader
}

const duringDrainStep = defineStep({
  name: 'snapshots are taken while the default partition is drained',
  weight: 3,
  args: fc.constantFrom(...hypertableNames).chain((name) =>
    fc.record({
      name: fc.constant(name),
      rows: fc.array(rowArbitrary(name, farTime), { minLength: 1, maxLength: 3 }),
      delays: fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 2, maxLength: 3 }),
    }),
  ),
  async run(world, { name, rows, delays }) {
    await outsideStep.run(world, { name, rows })
    // no row changes from here on, so every snapshot shows the same, whenever it was taken
    const lent = await Promise.all(delays.map(() => world.connect()))
    const drain = world.real.chunks.drainDefault(world.definition(name) as HypertableDefinition)
    const readers = await Promise.all(
      lent.map(async (connection, i) => {
        await sleep(delays[i]!)
        return openReader(world, connection, 0)
      }),
    )
    const outcome = await drain
    for (const reader of readers) await reader.close()
    return outcome.kind
  },
})

const readStep = defineStep({
  name: 'a reader reads in its old snapshot',
  weight: 5,
  args: fc.record({ pick: fc.nat(10), name: fc.constantFrom(...tableNames) }),
  async run(world, { pick, name }) {
    const readers = world.participants.filter((p): p is Reader => p.kind === 'reader')
    const reader = readers[pick % Math.max(1, readers.length)]
    if (!reader) return 'none'
    await readAll(world, reader, name)
    return 'done'
  },
})

/**
 * Every row, as psql would see it and in the files that the snapshot names, must be what the shadow was when the snapshot was
 * taken; but for rows of instants that do not `count`.
 */
export async function readAll(
  world: World,
  reader: Reader,
  name: string,
  counts: (time: unknown) => boolean = () => true,
): Promise<void> {
  const definition = reader.definitions.get(name)!
  const columns = Object.keys(definition.columns)
  const list = join(
    columns.map((column) => identifier(column)),
    ', ',
  )
  const { rows: hot } = await reader.connection.query(
    sql`select ${list} from ${identifier(definition.schema, definition.table)}`,
  )
  const { db, lake } = world.real
  const cold = await selectCold(db, lake, reader.connection, definition, list)
  const time = columns.indexOf('time')
  const rows = [...hot, ...cold].filter((row) => counts(row[time]))
  const expected = reader.seen!.get(name)!.filter((row) => counts(row['time']))
  const texts = new Map<string, number>()
  const text = (values: readonly unknown[]): string =>
    values.map((value, i) => valueText(definition.columns[columns[i]!]!.type, value)).join(' | ')
  for (const row of expected) {
    const key = text(columns.map((column) => row[column] ?? null))
    texts.set(key, (texts.get(key) ?? 0) + 1)
  }
  for (const row of rows) {
    const key = text(row)
    const count = texts.get(key) ?? 0
    if (count === 0)
      throw new Error(
        `step ${world.step}: a reader of an old snapshot sees in ${name} a row of later: ${show(row)}`,
      )
    texts.set(key, count - 1)
  }
  if (rows.length !== expected.length)
    throw new Error(
      `step ${world.step}: a reader of an old snapshot sees ${rows.length} rows of ${name}, there were ${expected.length}`,
    )
}

function valueText(type: StoredDefinition['columns'][string]['type'], value: unknown): string {
  if (type !== 'jsonb' || value === null) return groupText(type, value)
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

const lendStep = defineStep({
  name: 'a query keeps its snapshot open',
  weight: 4,
  args: fc.record({ life, name: fc.option(fc.constantFrom(...hypertableNames), { nil: null }) }),
  async run(world, { life, name }) {
    if (!hasRoom(world)) return 'no room'
    let end!: () => void
    const ended = new Promise<void>((resolve) => {
      end = resolve
    })
    let whole: Promise<void> = Promise.resolve()
    const snapshot = await new Promise<PostgresSnapshot>((resolve, reject) => {
      const dataset = name === null ? null : world.definition(name)
      whole = withReadSnapshot(world.real.db, { timeoutMs: 600_000, dataset }, async (lent) => {
        resolve(lent)
        await ended
      })
      whole.catch(reject)
    })
    const participant: LentSnapshot = {
      kind: 'lent-snapshot',
      id: nextId(),
      closesAt: world.step + life,
      locksRows: false,
      seen: world.copyOfAll(),
      snapshot,
      async close() {
        end()
        await whole
        return 'given back'
      },
    }
    world.add(participant)
    return 'opened'
  },
})

const queryLentStep = defineStep({
  name: 'queries in an old snapshot',
  weight: 5,
  args: fc.record({ pick: fc.nat(10), name: fc.constantFrom(...tableNames), seed: fc.nat(2 ** 30) }),
  async run(world, { pick, name, seed }) {
    const lent = world.participants.filter((p): p is LentSnapshot => p.kind === 'lent-snapshot')
    const participant = lent[pick % Math.max(1, lent.length)]
    if (!participant) return 'none'
    await verifySnapshot(world, participant.snapshot, name, participant.seen!.get(name)!, seed)
    return 'done'
  },
})

const idleStep = defineStep({
  name: 'somebody stays idle in a transaction',
  weight: 2,
  args: fc.record({
    life: fc.integer({ min: 1, max: 3 }),
    names: fc.subarray([...tableNames], { minLength: 1 }),
  }),
  async run(world, { life, names }) {
    if (!hasRoom(world)) return 'no room'
    const lent = await world.connect()
    await lent.connection.execute('begin')
    // READ COMMITTED: ACCESS SHARE locks on the tables and all their partitions, no snapshot
    for (const name of names) {
      const { schema, table } = world.definition(name)
      await lent.connection.query(sql`select count(*) from ${identifier(schema, table)}`)
    }
    world.add({
      kind: 'idle',
      id: nextId(),
      closesAt: world.step + life,
      locksRows: false,
      seen: null,
      async close() {
        await lent.connection.execute('rollback')
        await lent.close()
        return 'left'
      },
    })
    return 'opened'
  },
})

export const snapshotSteps: readonly StepKind<never>[] = [
  openReaderStep,
  duringDrainStep,
  readStep,
  lendStep,
  queryLentStep,
  idleStep,
] as readonly unknown[] as readonly StepKind<never>[]
