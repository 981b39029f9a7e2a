import { setTimeout as sleep } from 'node:timers/promises'
import { createAggregateTiers } from '../../src/continuous/index.ts'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import {
  type ChunkManager,
  createChangeWatch,
  createChunkManager,
  createHotTier,
} from '../../src/hot/index.ts'
import { createColdTier } from '../../src/lake/index.ts'
import { applyPartitionPolicies } from '../../src/migrate/index.ts'
import { type Connection, createDatabase, type Database } from '../../src/postgres/index.ts'
import { type Answer, createResultsCache, type ResultsCache, type Tier } from '../../src/query/index.ts'
import {
  type ContinuousAggregateDefinition,
  defineConfig,
  type StoredDefinition,
} from '../../src/schema/index.ts'
import { type FixedClock, fixedClock } from '../../src/time/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import { aggregatesOver } from './aggregates.ts'
import { CellConsumer } from './cell-consumer.ts'
import { Draft } from './draft.ts'
import { FrozenBuckets } from './frozen.ts'
import {
  type ChunkState,
  chunkStates,
  closeLake,
  createLake,
  createMover,
  type Lake,
  lakeConfig,
  oracleDuckDB,
} from './lake.ts'
import { publishedName, type Subscriber } from './subscriber.ts'
import {
  addedColumns,
  hypertableNames,
  type InputRow,
  mergingTables,
  oracleNow,
  tableNames,
} from './tables.ts'
import { type StoredRow, storedRow } from './values.ts'

/** The shadow: for each table its rows, as committed. */
export type Model = ReadonlyMap<string, Set<StoredRow>>

/** Something that stays open for some steps, holds locks or a snapshot, and is closed at the latest when it is old. */
export interface Participant {
  readonly kind: 'prepared' | 'reader' | 'lent-snapshot' | 'writer' | 'idle'
  readonly id: number
  readonly closesAt: number
  /** Holds locks on rows, so that others that want them wait. */
  readonly locksRows: boolean
  /** What a participant sees of a table (null: it reads none): forgets rows that a TRUNCATE took even from its snapshot. */
  readonly seen: Map<string, StoredRow[]> | null
  /** Ends it in its own way, which may change the shadow; says how. */
  close(): Promise<string>
}

/** The product, and connections of the oracle's own beside it. */
export interface Real {
  readonly connectionString: string
  /** Of the oracle itself: statements that people send by other ways. */
  readonly db: Database
  /** Two engines, as two processes would be: each with its own caches, and its own idea of the declarations. */
  readonly engines: [Tidemark, Tidemark]
  /** With little patience, so that a blocked call ends soon. */
  readonly chunks: ChunkManager
  /** For all lent snapshots: what they have cached is sometimes newer, sometimes older than those are. */
  readonly tiers: readonly Tier[]
  readonly results: ResultsCache
  /** Of the engines, and of the movers beside them. What they say is no part of any answer. */
  readonly clocks: readonly [FixedClock, FixedClock]
  readonly lake: Lake
}

/** Everything that steps work on. */
export class World {
  readonly real: Real
  readonly model: Model = new Map(tableNames.map((name) => [name, new Set<StoredRow>()]))
  readonly participants: Participant[] = []
  readonly consumers: CellConsumer[] = []
  readonly clock = fixedClock(oracleNow)
  /** Declarations as the database has them; an engine may still have older ones. */
  readonly definitions = new Map<string, StoredDefinition>(mergingTables.map((d) => [d.name, d]))
  /** Which declaration of `oracle.by_hour` the database has; an engine may still have another. */
  variant = 0
  readonly #variants = new WeakMap<Tidemark, number>()
  /** Somebody's copy of one of the tables, when there is one. */
  subscriber: Subscriber | null = null
  /** Of the step that runs now. */
  step = 0
  queries = 0
  /** Buckets of aggregates whose rows retention took. */
  readonly frozen = new FrozenBuckets()
  /** Parts of plans by where they came from. */
  readonly sources = new Map<string, number>()
  /** A server of one's own (DATABASE_URL) may allow no prepared transactions. */
  canPrepare = true
  /** Nor logical replication. */
  isLogical = true
  /** Of calls, so that their rows can be found again. */
  #mark = 0

  constructor(real: Real) {
    this.real = real
  }

  definition(name: string): StoredDefinition {
    return this.definitions.get(name)!
  }

  rows(name: string): Set<StoredRow> {
    return this.model.get(name)!
  }

  engine(i: number): Tidemark {
    return this.real.engines[i % 2]!
  }

  /** A definition as the engine has it. */
  engineDefinition(i: number, name: string): StoredDefinition {
    return this.engine(i).dataset(name)
  }

  /** Whether a declaration (default: that of any engine) has other columns than the table; by such a one no row may move. */
  isOutdated(name: string, definition?: StoredDefinition): boolean {
    const now = Object.keys(this.definition(name).columns).length
    const given = definition === undefined ? [0, 1].map((i) => this.engineDefinition(i, name)) : [definition]
    return given.some(({ columns }) => Object.keys(columns).length !== now)
  }

  /**
   * Rows that are neither of dropped time nor near it, of a table that merges those: what becomes of them hangs on the clocks of
   * engines, which jump. `steps/late-rows.ts` inserts them.
   */
  withoutLate(definition: StoredDefinition, rows: readonly InputRow[]): InputRow[] {
    if (definition.kind !== 'hypertable' || definition.late !== 'merge') return [...rows]
    return rows.filter(
      (row) => !this.frozen.isNearDropped(definition.name, storedRow(definition, row)['time'] as bigint),
    )
  }

  nextMark(): string {
    this.#mark += 1
    return `m${this.#mark}`
  }

  /** Rows with values of the columns that were added meanwhile, and with a mark when one is given; without late ones. */
  complete(definition: StoredDefinition, rows: readonly InputRow[], mark?: string): InputRow[] {
    const extras = Object.entries(addedColumns).filter(([name]) => name in definition.columns)
    return this.withoutLate(definition, rows).map((row, i) => ({
      ...row,
      ...(i % 2 === 0 ? Object.fromEntries(extras) : {}),
      ...(mark === undefined ? {} : { mark }),
    }))
  }

  draft(name: string): Draft {
    return new Draft(this.definition(name), this.rows(name))
  }

  /** A transaction was committed: the shadow follows. */
  commit(name: string, draft: Draft): void {
    const rows = this.rows(name)
    for (const row of draft.removed)
      if (!rows.delete(row)) throw new Error(`a row of ${name} was changed twice: the oracle lost its way`)
    for (const row of draft.added) rows.add(row)
    if (name === publishedName) this.subscriber?.expect(draft.added)
  }

  /** Whether rows of the table that come back into PostgreSQL would be sent to somebody a second time. */
  isPublished(name: string): boolean {
    return this.subscriber !== null && name === publishedName
  }

  /** Whether a step may have to wait for somebody: then "busy" and "cancelled" are answers, and mean "nothing happened". */
  get isContended(): boolean {
    // rows that stay in the default partition keep a published table from being drained
    return this.participants.length > 0 || this.subscriber !== null
  }

  /** Calls that may meet locks on rows end after a while. */
  patience(): AbortSignal | null {
    return this.participants.some(({ locksRows }) => locksRows) ? AbortSignal.timeout(500) : null
  }

  /** Counts moves of a table: whoever took a snapshot before one may be told that his rows have changed. */
  moved(name: string): void {
    const { moves } = this.real.lake
    moves.set(name, (moves.get(name) ?? 0) + 1)
  }

  movesOf(name: string): number {
    return this.real.lake.moves.get(name) ?? 0
  }

  chunkStates(name: string): Promise<ChunkState[]> {
    return chunkStates(this.real.db, this.definition(name))
  }

  /** Whether an error means that rows of the table are in the lake, where this way of writing does not see them. */
  async isCold(name: string, code: string): Promise<boolean> {
    if (!coldCodes.includes(code)) return false
    return (await this.chunkStates(name)).some(({ state }) => state === 'cold')
  }

  add(participant: Participant): void {
    this.participants.push(participant)
  }

  async close(participant: Participant): Promise<string> {
    this.participants.splice(this.participants.indexOf(participant), 1)
    return participant.close()
  }

  async closeAll(): Promise<void> {
    for (const participant of [...this.participants]) await this.close(participant)
  }

  /** Those who were open long enough. */
  async closeOld(): Promise<void> {
    for (const participant of [...this.participants])
      if (participant.closesAt <= this.step) await this.close(participant)
  }

  /** TRUNCATE takes rows even from snapshots that are older (PostgreSQL says so in its manual). */
  truncate(name: string, isGone: (row: StoredRow) => boolean): void {
    const rows = this.rows(name)
    for (const row of [...rows]) if (isGone(row)) rows.delete(row)
    for (const { seen } of this.participants) {
      const copy = seen?.get(name)
      if (copy)
        seen!.set(
          name,
          copy.filter((row) => !isGone(row)),
        )
    }
  }

  copyOfAll(): Map<string, StoredRow[]> {
    return new Map([...this.model].map(([name, rows]) => [name, [...rows]]))
  }

  /** A new engine with cold caches and the newest declarations in place of an old one. */
  async restart(i: number): Promise<void> {
    await this.real.engines[i]!.close()
    this.noteChecks(i)
    const { connectionString, lake, clocks } = this.real
    this.real.engines[i] = await this.createEngine(
      [...this.definitions.values()],
      connectionString,
      clocks[i],
    )
    await lake.movers[i]!.db.close()
    lake.movers[i] = createMover(connectionString, lake.store, clocks[i]!, i)
  }

  async createEngine(
    definitions: readonly StoredDefinition[],
    connectionString = this.real.connectionString,
    clock: FixedClock = this.clock,
  ): Promise<Tidemark> {
    const { variant } = this
    const config = defineConfig({
      datasets: [...definitions, ...aggregatesOver(definitions, variant)],
      database: { maxConnections: 6 },
      lake: lakeConfig,
      // the product finds what is wrong, too: assertNoAlarm
      shadow: { share: 0.2 },
    })
    const { lake } = this.real
    const engine = await createTidemark(config, { connectionString, clock, root: lake.root })
    this.#variants.set(engine, variant)
    return engine
  }

  /** The aggregates over the tables as they are declared now; engines have objects of their own. */
  get aggregates(): readonly ContinuousAggregateDefinition[] {
    const { variant } = this
    const definitions = [...this.definitions.values()]
    const known = this.#aggregates
    if (known?.variant === variant && definitions.every((each, i) => each === known.definitions[i]))
      return known.aggregates
    const aggregates = aggregatesOver(definitions, variant)
    this.#aggregates = { variant, definitions, aggregates }
    return aggregates
  }

  #aggregates: {
    readonly variant: number
    readonly definitions: readonly StoredDefinition[]
    readonly aggregates: readonly ContinuousAggregateDefinition[]
  } | null = null

  /** Which declaration of `oracle.by_hour` an engine has. */
  engineVariant(i: number): number {
    return this.#variants.get(this.engine(i)) ?? this.variant
  }

  /** Counts which places an answer came from. */
  noteSources({ plan }: Pick<Answer, 'plan'>): void {
    for (const { source } of plan.parts) this.sources.set(source, (this.sources.get(source) ?? 0) + 1)
  }

  /** Counts what an engine has computed once more, when it has come to its end. */
  noteChecks(i: number): void {
    for (const [what, count] of Object.entries(this.engine(i).shadowChecks))
      if (count > 0) this.sources.set(`shadow: ${what}`, (this.sources.get(`shadow: ${what}`) ?? 0) + count)
  }

  /** What engines compute once more from rows was what they had said. */
  async assertNoAlarm(): Promise<void> {
    // a check holds its connection until its alarm is written
    await this.settled()
    const { rows } = await this.real.db.query(sql`select dataset, detail::text from tidemark.alarm`)
    if (rows.length > 0)
      throw new Error(
        `shadow checks found answers wrong: ${rows.map(([name, detail]) => `${String(name)} ${String(detail)}`).join('; ')}`,
      )
  }

  /** Waits until no statement of an engine runs any more, after some of its backends were ended. */
  async settled(): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      const { rows } = await this.real.db.query(sql`
        select count(*)
        from pg_stat_activity
        where datname = current_database() and application_name = 'tidemark' and state <> 'idle'`)
      if (rows[0]![0] === 0n) return
      if (tries > 1000) throw new Error('statements of an engine run on though their backends were ended')
      await sleep(5)
    }
  }

  /** A connection of the oracle that is not given back: for transactions that stay open. */
  async connect(
    connectionString = this.real.connectionString,
  ): Promise<{ readonly connection: Connection; close(): Promise<void> }> {
    const db = createDatabase({
      connectionString,
      max: 1,
      applicationName: 'oracle',
      closeTimeoutMs: 100,
    })
    let end!: () => void
    const ended = new Promise<void>((resolve) => {
      end = resolve
    })
    let lent: Promise<void> = Promise.resolve()
    const connection = await new Promise<Connection>((resolve, reject) => {
      lent = db.withConnection(async (given) => {
        resolve(given)
        await ended
      })
      lent.catch(reject)
    })
    return {
      connection,
      async close() {
        end()
        await lent.catch(() => {})
        await db.close()
      },
    }
  }
}

/** Migrates an empty database and makes a world of it. `lakeRoot`: where its lake is to be; default a folder of its own. */
export async function createWorld(connectionString: string, lakeRoot?: string): Promise<World> {
  const db = createDatabase({ connectionString, max: 14, applicationName: 'oracle' })
  const engines = [] as unknown as [Tidemark, Tidemark]
  const clocks = [fixedClock(oracleNow), fixedClock(oracleNow)] as const
  const lake = createLake(connectionString, clocks, lakeRoot)
  const world = new World({
    connectionString,
    db,
    engines,
    lake,
    chunks: createChunkManager({
      db,
      applyPolicies: applyPartitionPolicies,
      tries: 3,
      lockTimeoutMs: 50,
      settleMs: 50,
    }),
    tiers: [
      createHotTier(),
      createColdTier({ duckdb: oracleDuckDB(), store: lake.store }),
      ...createAggregateTiers(aggregatesOver(mergingTables, 0)),
    ],
    results: createResultsCache({ memoryBytes: 4 * 1024 * 1024, watch: createChangeWatch() }),
    clocks,
  })
  for (const i of [0, 1]) engines[i] = await world.createEngine(mergingTables, connectionString, clocks[i])
  await engines[0].migrate()
  const { rows } = await db.query(
    sql`select current_setting('max_prepared_transactions') <> '0', current_setting('wal_level') = 'logical'`,
  )
  world.canPrepare = rows[0]![0] as boolean
  world.isLogical = rows[0]![1] as boolean
  // two of each: the log is kept for the slower one
  for (const which of ['one', 'two'])
    for (const name of hypertableNames) {
      const consumer = await CellConsumer.create(world, which, name)
      // the first time a consumer reads everything: from here on it lives by the log
      await consumer.refresh(false)
      world.consumers.push(consumer)
    }
  return world
}

export async function closeWorld(world: World): Promise<void> {
  for (const participant of [...world.participants]) await world.close(participant).catch(() => {})
  await world.subscriber?.drop()
  await Promise.all(world.real.engines.map((engine) => engine.close()))
  await closeLake(world.real.lake)
  await world.real.db.close()
}

/** Codes after which nothing has happened, because somebody else was in the way. */
const busyCodes: readonly string[] = ['TM_BUSY', 'TM_CANCELLED', 'TM_TIMEOUT']
const busyStates: readonly string[] = ['55P03', '40P01', '57014']
export const coldCodes: readonly string[] = ['TM_COLD', 'TM002']

/** The code of a product's error, an SQLSTATE for what has none. */
export function codeOf(error: unknown): string {
  if (!isTidemarkError(error)) throw error
  return error.code === 'TM_DATABASE' ? (error.params as { sqlstate: string }).sqlstate : error.code
}

export function isBusy(code: string): boolean {
  return busyCodes.includes(code) || busyStates.includes(code)
}

/**
 * Whether PostgreSQL has refused a statement of plain SQL because somebody attached the partition of its row while it was on
 * its way to the default one: it has to be sent again. (The engine does that by itself; hot/write-errors.ts.)
 */
export function isOvertaken(error: unknown): boolean {
  if (!isTidemarkError(error) || error.code !== 'TM_CONSTRAINT') return false
  const { code, constraint } = error.cause as { readonly code?: string; readonly constraint?: string }
  return code === '23514' && constraint === undefined
}

/** How a call ended: its value, or the code of its error. */
export type Ended<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: string }

/**
 * Runs a call and sorts its end. Anything but a registered error is a bug and is thrown on; being kept waiting is an
 * end only when there was somebody to wait for.
 */
export async function endOf<T>(world: World, call: () => Promise<T>): Promise<Ended<T>> {
  try {
    return { ok: true, value: await call() }
  } catch (error) {
    const code = codeOf(error)
    if (isBusy(code) && !world.isContended)
      throw new Error(`nobody else was there, and yet: ${(error as Error).message}`, { cause: error })
    return { ok: false, code }
  }
}

export function assertCode(found: Ended<unknown>, expected: readonly string[], what: string): void {
  if (found.ok || !expected.includes(found.code))
    throw new Error(
      `${what} should have been refused with ${expected.join(' or ')}, and ${found.ok ? 'went through' : `gave ${found.code}`}`,
    )
}

/** Attached chunks as the catalog has them, in order of time. */
export async function chunkRanges(
  world: World,
  name: string,
): Promise<{ readonly relation: string; readonly from: bigint; readonly to: bigint }[]> {
  const { schema, table } = world.definition(name)
  const { rows } = await world.real.db.query(sql`
    select k.relation_name, k.range_from, k.range_to
    from tidemark.chunk as k
    join tidemark.hypertable as h on h.id = k.hypertable_id
    where h.schema_name = ${schema}::text and h.table_name = ${table}::text and k.relation_name is not null
    order by k.range_from`)
  return rows.map(([relation, from, to]) => ({
    relation: relation as string,
    from: from as bigint,
    to: to as bigint,
  }))
}

/** How many rows of the table have the mark. */
export async function countMarked(world: World, name: string, mark: string): Promise<number> {
  const { schema, table } = world.definition(name)
  const { rows } = await world.real.db.query(sql`
    select count(*) from ${identifier(schema, table)} where mark = ${mark}::text`)
  return Number(rows[0]![0])
}
