import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { definitionHash } from '../../../src/continuous/index.ts'
import type { StoredDefinition } from '../../../src/schema/index.ts'
import { isTidemarkError } from '../../../src/util/errors.ts'
import { raw, sql } from '../../../src/util/sql.ts'
import { aggregateNames, aggregatesOver, variants } from '../aggregates.ts'
import { checkStore } from '../lake.ts'
import { show, verify, verifyAggregates, verifyAll } from '../queries.ts'
import { refreshAll } from '../steps/change-log.ts'
import { csvText, importable } from '../steps/imports.ts'
import { choice, followExpiry, refreshOver, selectionOf, verifyLake, wantedBy } from '../steps/lake.ts'
import { distinct, fresh } from '../steps/writes.ts'
import { firstDay, type InputRow, rowArbitrary, rowsArbitrary } from '../tables.ts'
import { keyText, type StoredRow, storedRow, upsertedRow } from '../values.ts'
import { closeWorld, createWorld, type World } from '../world.ts'
import type { DurableServer } from './durable-server.ts'
import type { Answer, Order } from './orders.ts'

/**
 * A child does random work; it, the database, or both are killed at a random moment of it, or the child at its n-th
 * call of the database or the store. Afterwards: what was acknowledged is there, what was not is there wholly or not at all,
 * nothing is wrong with the lake, and work goes on.
 */
export interface CrashOptions {
  readonly server: DurableServer
  /** An empty database on it. */
  readonly connectionString: string
  readonly seed: number
  readonly kills: number
  /** ms after which no more kills are begun. */
  readonly forMs?: number
  readonly onLine?: (line: string) => void
}

export interface CrashReport {
  readonly kills: number
  readonly orders: number
  readonly queries: number
  readonly counts: ReadonlyMap<string, number>
}

type Victim = 'child' | 'database' | 'both'

interface Act {
  readonly what: (typeof kinds)[number]
  readonly table: string
  readonly rows: readonly InputRow[]
  readonly choice: ReturnType<typeof choice> extends fc.Arbitrary<infer C> ? C : never
  readonly n: number
  /** Null: it is left alone. */
  readonly victim: Victim | null
  /** The child dies at a call, not at a time. */
  readonly atCall: boolean
  readonly share: number
  readonly when: 'before' | 'after'
  readonly queries: number
}

const tables = ['oracle.events', 'oracle.keyed', 'oracle.ledger'] as const
const kinds = [
  'insert',
  'upsert',
  'update',
  'delete',
  'import',
  'freeze',
  'thaw',
  'compact',
  'reclaim',
  'sweep',
  'expire',
  'erase',
  'refresh',
  'redefine',
] as const

const act = (table: (typeof tables)[number]): fc.Arbitrary<Act> =>
  fc.record({
    what: fc.oneof(
      { weight: 8, arbitrary: fc.constant('freeze' as const) },
      { weight: 4, arbitrary: fc.constantFrom('thaw' as const, 'compact' as const) },
      { weight: 4, arbitrary: fc.constant('insert' as const) },
      { weight: 7, arbitrary: fc.constantFrom('refresh' as const, 'refresh' as const, 'redefine' as const) },
      { weight: 4, arbitrary: fc.constantFrom('reclaim' as const, 'import' as const, 'upsert' as const) },
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          'sweep' as const,
          'update' as const,
          'delete' as const,
          'expire' as const,
          'erase' as const,
          'erase' as const,
        ),
      },
    ),
    table: fc.constant(table),
    rows: fc.oneof(
      rowsArbitrary(table, { minLength: 2, maxLength: 15 }),
      fc.array(rowArbitrary(table), { minLength: 30, maxLength: 90, size: 'max' }),
    ),
    choice: choice(table),
    n: fc.integer({ min: -3, max: 9 }),
    victim: fc.constantFrom<Victim | null>('child', 'child', 'child', 'database', 'both', null, null),
    atCall: fc.boolean(),
    // not fc.double: most doubles are next to 0
    share: fc.integer({ min: 0, max: 1000 }).map((n) => n / 1000),
    when: fc.constantFrom('before', 'after'),
    queries: fc.nat(2 ** 30),
  })

/** The n-th act of a seed. */
function actOf(seed: number, i: number): Act {
  return fc.sample(fc.noBias(fc.constantFrom(...tables).chain(act)), {
    seed: seed + i * 7919,
    numRuns: 1,
  })[0]!
}

/** One that has died gives null. */
class Child {
  readonly #process: ChildProcess
  readonly ready: Promise<boolean>
  readonly died: Promise<null>

  constructor(connectionString: string, root: string) {
    this.#process = fork(fileURLToPath(new URL('child.ts', import.meta.url)), [connectionString, root], {
      execArgv: ['--import', 'jiti/register'],
      serialization: 'advanced',
    })
    this.died = new Promise((resolve) => {
      this.#process.once('exit', () => resolve(null))
    })
    this.ready = Promise.race([
      new Promise<boolean>((resolve) => {
        this.#process.once('message', () => resolve(true))
      }),
      this.died.then(() => false),
    ])
  }

  obey(order: Order, dieAt: number, when: 'before' | 'after'): Promise<Answer | null> {
    const answered = new Promise<Answer>((resolve) => {
      this.#process.once('message', (answer) => resolve(answer as Answer))
    })
    this.#process.send({ order, dieAt, when }, () => {})
    return Promise.race([answered, this.died])
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  async end(): Promise<void> {
    this.kill()
    await this.died
  }
}

const patienceMs = 60_000

/** @throws Error with the log of what was done, and the command that does it again. */
export async function runCrashLane(options: CrashOptions): Promise<CrashReport> {
  const log: string[] = []
  const say = (line: string): void => {
    log.push(line)
    options.onLine?.(line)
  }
  const world = await createWorld(options.connectionString)
  const lane = new Lane(world, options, say)
  try {
    return await lane.run()
  } catch (error) {
    throw new Error(
      `${log.slice(-25).join('\n')}\n\n${describe(error)}\n\n` +
        `again (moments differ): npm run oracle -- --crash --seed ${options.seed} --kills ${options.kills}`,
      { cause: error },
    )
  } finally {
    await lane.close()
    await closeWorld(world).catch(() => {})
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}\n  because: ${describe(error.cause)}`
}

class Lane {
  readonly #world: World
  readonly #options: CrashOptions
  readonly #say: (line: string) => void
  readonly #counts = new Map<string, number>()
  /** How long each kind takes, and how many calls it makes: where to strike. */
  readonly #usualMs = new Map<string, number>()
  readonly #usualCalls = new Map<string, number>()
  readonly #dir = mkdtempSync(join(tmpdir(), 'tidemark-crash-files-'))
  #child: Child
  /** Started ahead: to start one takes longer than what it is to do. */
  #spare: Child
  #kills = 0
  #orders = 0
  /** A file whose import has not come to its end. */
  #unfinished: { readonly order: Order & { kind: 'import' }; readonly rows: readonly StoredRow[] } | null =
    null

  constructor(world: World, options: CrashOptions, say: (line: string) => void) {
    this.#world = world
    this.#options = options
    this.#say = say
    this.#child = this.#start()
    this.#spare = this.#start()
  }

  #start(): Child {
    return new Child(this.#options.connectionString, this.#world.real.lake.root)
  }

  async close(): Promise<void> {
    await this.#child.end()
    await this.#spare.end()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  async run(): Promise<CrashReport> {
    const { seed, kills, forMs } = this.#options
    const endsAt = forMs === undefined ? Infinity : performance.now() + forMs
    for (let i = 0; this.#kills < kills && performance.now() < endsAt; i += 1) {
      this.#world.step = i
      await this.#act(actOf(seed, i))
    }
    await this.#finish()
    return { kills: this.#kills, orders: this.#orders, queries: this.#world.queries, counts: this.#counts }
  }

  async #act(act: Act): Promise<void> {
    const order = await this.#orderOf(act)
    if (order === null) return
    this.#orders += 1
    const { victim } = act
    const kind = order.kind
    const usualMs = this.#usualMs.get(kind) ?? 30
    const usualCalls = this.#usualCalls.get(kind) ?? 10
    const isMove = !['insert', 'upsert', 'update', 'delete', 'import'].includes(kind)
    const atCall = act.atCall && isMove && victim === 'child'
    const dieAt = atCall ? 1 + Math.floor(act.share * usualCalls) : Infinity
    this.#world.real.lake.mayHaveStrays = true
    await this.#awake()
    const startedAt = performance.now()
    const answering = this.#child.obey(order, dieAt, act.when)
    let hasStruck = false
    if (victim !== null && !atCall) {
      const first = await Promise.race([answering, sleep(act.share * usualMs * 1.2, 'now' as const)])
      if (first === 'now') {
        hasStruck = true
        if (victim !== 'child') this.#options.server.kill()
        if (victim !== 'database') this.#child.kill()
      }
    }
    const answer = await Promise.race([answering, sleep(patienceMs, 'late' as const)])
    if (answer === 'late') throw new Error(`${kind} of ${order.table} has not ended after ${patienceMs} ms`)
    hasStruck ||= answer === null
    if (!hasStruck && answer?.ok) {
      const ms = performance.now() - startedAt
      this.#usualMs.set(kind, usualMs * 0.7 + ms * 0.3)
      if (isMove) this.#usualCalls.set(kind, Math.max(3, usualCalls * 0.7 + answer.calls * 0.3))
    }
    const struck = hasStruck ? (atCall ? `child at call ${dieAt} (${act.when})` : victim!) : 'nobody'
    const ended = answer === null ? 'no word' : answer.ok ? `done ${String(answer.value)}` : answer.code
    this.#say(`${this.#world.step} ${kind} ${order.table}, killed: ${struck}; ${ended}`)
    const key = `${kind}: ${hasStruck ? `killed ${atCall ? 'at a call' : victim}` : 'left alone'}, ${answer === null ? 'no word' : answer.ok ? 'done' : answer.code}`
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
    if (hasStruck) await this.#recover(victim!)
    await this.#follow(order, answer, act)
    await this.#check(act, hasStruck)
  }

  /** A child that has come up; one that could not, because the database was away, is replaced. */
  async #awake(): Promise<void> {
    while (!(await this.#child.ready)) {
      this.#child = this.#spare
      this.#spare = this.#start()
    }
  }

  async #recover(victim: Victim): Promise<void> {
    this.#kills += 1
    if (victim !== 'child') {
      await this.#options.server.restart()
      await this.#reconnect()
    }
    if (victim !== 'database') {
      await this.#child.died
      this.#child = this.#spare
      this.#spare = this.#start()
    }
    // backends of a dead child end their statement, and notice
    await this.#world.settled()
  }

  /** Connections of before are broken; whoever uses one is told so, once. */
  async #reconnect(): Promise<void> {
    const { db, engines, lake } = this.#world.real
    for (const each of [db, ...lake.movers.map((mover) => mover.db)])
      await untilItAnswers(async () => {
        await Promise.all(Array.from({ length: 4 }, () => each.query(raw('select 1'))))
      })
    for (const engine of engines)
      await untilItAnswers(async () => {
        const answers = await Promise.all([0, 1, 2, 3, 4, 5].map(() => engine.ping()))
        if (answers.some(({ reachable }) => !reachable)) throw new Error('the database does not answer')
      })
  }

  async #orderOf(act: Act): Promise<Order | null> {
    const world = this.#world
    const { what, table } = act
    // other things happen before it is gone on with
    if (this.#unfinished && (act.victim === null || act.n % 2 === 0)) return this.#unfinished.order
    if (this.#unfinished && what === 'import') return null
    const definition = world.definition(table)
    const mark = world.nextMark()
    switch (what) {
      case 'insert': {
        // so many rows that the naive answers stay quick
        if (world.rows(table).size > 500) {
          await refreshOver(world, table, 0)
          return { kind: 'expire', table, cutoff: firstDay + 3n * 86_400_000_000n }
        }
        const rows = fresh(world, definition, act.rows).map((row) => ({ ...row, mark }))
        return rows.length === 0 ? null : { kind: 'insert', table, rows }
      }
      case 'upsert':
        if (table !== 'oracle.keyed') return null
        return {
          kind: 'upsert',
          table,
          rows: distinct(definition, act.rows).map((row) => ({ ...row, mark })),
        }
      case 'update':
        if (definition.appendOnly) return null
        return { kind: 'update', table, selection: { where: { num: act.n }, set: { mark } } }
      case 'erase':
        return { kind: 'erase', table, selection: { where: { num: act.n } } }
      case 'delete':
        if (definition.appendOnly) return null
        return { kind: 'delete', table, selection: { where: { num: act.n } } }
      case 'import': {
        const rows = fresh(
          world,
          definition,
          act.rows.map((row) => importable(definition, row)),
        ).map((row, i) => ({
          ...storedRow(definition, row),
          mark: `${mark}-${i}`,
        })) as readonly StoredRow[] as readonly (StoredRow & { readonly time: bigint })[]
        if (rows.length === 0) return null
        const file = join(this.#dir, `${mark}.csv`)
        writeFileSync(file, csvText(definition, rows))
        const text = { format: 'csv', header: true, separator: ',', timeFormat: 'iso' }
        // what was dropped may come back by an import into the lake, which consumers of the log do not follow
        const dropped = (await world.chunkStates(table)).filter(({ state }) => state === 'dropped')
        const mayBeCold = !rows.some(({ time }) => dropped.some(({ from, to }) => time >= from && time < to))
        const options = { ...text, batchRows: 7, cold: mayBeCold && act.share < 0.5 }
        const order = { kind: 'import', table, file, options } as const
        this.#unfinished = { order, rows }
        return order
      }
      case 'refresh': {
        const mine = aggregatesOver([...world.definitions.values()], world.variant).filter(
          ({ base }) => base.name === table,
        )
        return { kind: what, table, aggregate: mine[(act.n + 3) % mine.length]!.name }
      }
      case 'redefine':
        return { kind: what, table: 'oracle.events', variant: (act.n + 3) % variants }
      case 'sweep':
      case 'reclaim':
        return { kind: what, table }
      case 'expire':
        if (act.n % 3 !== 0) await refreshOver(world, table, 0)
        return { kind: 'expire', table, cutoff: act.n < 7 ? firstDay - 20n * 86_400_000_000n : firstDay }
      default: {
        const selection = await selectionOf(world, table, act.choice, wantedBy[what])
        return selection === null ? null : { kind: what, table, selection }
      }
    }
  }

  /** Brings the shadow to where the database is, and sees that this is where it may be. */
  async #follow(order: Order, answer: Answer | null, act: Act): Promise<void> {
    const world = this.#world
    const { table } = order
    const definition = world.definition(table)
    const isDone = answer?.ok === true
    if (answer !== null && !answer.ok && !this.#isAllowed(order, answer, act))
      throw new Error(`${order.kind} of ${table} gave ${answer.code}: ${answer.message}`)
    const draft = world.draft(table)
    switch (order.kind) {
      case 'insert': {
        const found = await this.#count(table, { mark: order.rows[0]!['mark'] })
        this.#assertWhole(order, found, order.rows.length, isDone)
        if (found > 0) draft.add(order.rows.map((row) => storedRow(definition, row)))
        break
      }
      case 'upsert': {
        const found = await this.#count(table, { mark: order.rows[0]!['mark'] })
        this.#assertWhole(order, found, order.rows.length, isDone)
        if (found === 0) break
        for (const row of order.rows) {
          const existing = draft.byKey(keyText(definition, storedRow(definition, row)))
          if (existing) draft.remove(existing)
          draft.add([existing ? upsertedRow(definition, existing, row) : storedRow(definition, row)])
        }
        break
      }
      case 'update': {
        const { set } = order.selection as { set: { mark: string } }
        const before = [...world.rows(table)].filter((row) => row['num'] === act.n)
        const found = await this.#count(table, { mark: set.mark })
        this.#assertWhole(order, found, before.length, isDone)
        if (found === 0) break
        for (const row of before) draft.remove(row)
        draft.add(before.map((row) => ({ ...row, mark: set.mark })))
        break
      }
      case 'delete': {
        const before = [...world.rows(table)].filter((row) => row['num'] === act.n)
        const left = await this.#count(table, { num: act.n })
        this.#assertWhole(order, before.length - left, before.length, isDone)
        if (left === 0) for (const row of before) draft.remove(row)
        break
      }
      case 'erase': {
        // chunk by chunk: what is half done is gone on with by the same call
        if (!isDone) await this.#eraseAgain(order)
        for (const row of world.rows(table)) if (row['num'] === act.n) draft.remove(row)
        break
      }
      case 'import':
        await this.#followImport(definition, answer, draft)
        break
      case 'expire':
        await followExpiry(world, table, order.cutoff, isDone)
        break
      case 'redefine':
        await this.#followDefinition(order.variant, isDone)
        break
      default:
        // nothing that anybody could see may have changed
        break
    }
    world.commit(table, draft)
  }

  /** Which declaration the database has; the engines of the oracle follow. */
  async #followDefinition(wanted: number, isDone: boolean): Promise<void> {
    const world = this.#world
    const { rows } = await world.real.db.query(sql`
      select v.definition_hash, v.state
      from tidemark.aggregate_version as v
      join tidemark.aggregate as a on a.id = v.aggregate_id
      where a.table_name = 'by_hour' and v.state <> 'retired'
      order by v.id desc`)
    const hashes = Array.from({ length: variants }, (_, variant) =>
      definitionHash(
        aggregatesOver([...world.definitions.values()], variant).find(
          ({ name }) => name === 'oracle.by_hour',
        )!,
      ),
    )
    const found = rows.find(([, state]) => state === 'building') ?? rows[0]
    const variant = hashes.indexOf(found![0] as string)
    if (isDone && (variant !== wanted || rows.length !== 1))
      throw new Error(`acknowledged: declaration ${wanted} of oracle.by_hour, and there are ${show(rows)}`)
    if (variant !== wanted && variant !== world.variant)
      throw new Error(`declaration ${wanted} of oracle.by_hour was made, and there are ${show(rows)}`)
    if (variant === world.variant) return
    world.variant = variant
    for (const i of [0, 1]) await world.restart(i)
  }

  async #followImport(
    definition: StoredDefinition,
    answer: Answer | null,
    draft: ReturnType<World['draft']>,
  ): Promise<void> {
    const { rows } = this.#unfinished!
    const { name } = definition
    const mark = String(rows[0]!['mark']).split('-')[0]!
    const { rows: found } = await this.#world
      .engine(0)
      .queryUnknown(name, { where: { mark: { like: `${mark}-%` } }, limit: 1000 })
    const marks = new Set(found.map((row) => row['mark'] as string))
    if (marks.size !== found.length) throw new Error(`an import into ${name} has doubled a row`)
    const { cold } = this.#unfinished!.order.options as { readonly cold: boolean }
    if (cold && marks.size !== 0 && marks.size !== rows.length)
      throw new Error(`an import into the lake of ${name} has brought ${marks.size} of ${rows.length} rows`)
    const known = new Set([...this.#world.rows(name)].map((row) => row['mark']))
    for (const row of rows)
      if (known.has(row['mark']) && !marks.has(row['mark'] as string))
        throw new Error(`the row ${String(row['mark'])} of an import into ${name} was there, and is not`)
    draft.add(rows.filter((row) => marks.has(row['mark'] as string) && !known.has(row['mark'])))
    // its last commit went through, only the word of it was lost
    const wasDone =
      answer?.ok === false && answer.code === 'TM_IMPORT' && answer.message.includes('was imported into')
    if (answer?.ok === true || wasDone) {
      // rows of time that was dropped have become dead letters
      const dropped = (await this.#world.chunkStates(name)).filter(({ state }) => state === 'dropped')
      const isMissing = (row: StoredRow): boolean =>
        !marks.has(row['mark'] as string) &&
        !dropped.some(({ from, to }) => (row['time'] as bigint) >= from && (row['time'] as bigint) < to)
      if (rows.some(isMissing))
        throw new Error(`${marks.size} of ${rows.length} rows are in ${name} after a whole import`)
      this.#unfinished = null
    }
  }

  #isAllowed(order: Order, answer: Answer & { ok: false }, act: Act): boolean {
    const { code, message } = answer
    if (order.kind === 'import' && code === 'TM_IMPORT' && message.includes('was imported into')) return true
    // a lease or a lock of somebody who has just died
    if (code === 'TM_CHUNK_CAP' || code === 'TM_EXPIRED' || code === 'TM_BUSY' || code === '55P03')
      return true
    if (code === 'TM_DUPLICATE_KEY' && order.kind === 'update') return false
    const isDatabaseGone = act.victim === 'database' || act.victim === 'both'
    return (
      isDatabaseGone &&
      [
        'TM_CONNECT',
        'TM_COMMIT_UNKNOWN',
        'TM_PARTIAL_WRITE',
        '57P01',
        '57P02',
        '57P03',
        'none',
        'TM_CANCELLED',
      ].includes(code)
    )
  }

  async #eraseAgain({
    table,
    selection,
  }: Order & { readonly kind: 'update' | 'delete' | 'erase' }): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      // leases of the dead
      await this.#world.real.db.execute(
        raw(`update tidemark.chunk set lease_until = now() - interval '1 s' where lease_until is not null`),
      )
      try {
        await this.#world.engine(0).eraseUnknown(table, selection)
        return
      } catch (error) {
        if (tries > 4) throw error
      }
    }
  }

  #assertWhole(order: Order, found: number, all: number, isDone: boolean): void {
    if (isDone && found !== all)
      throw new Error(
        `acknowledged: ${order.kind} of ${order.table}, and of ${all} rows there are ${found}: ${show(order)}`,
      )
    if (found !== 0 && found !== all)
      throw new Error(
        `half done: ${order.kind} of ${order.table}, of ${all} rows there are ${found}: ${show(order)}`,
      )
  }

  async #count(table: string, where: object): Promise<number> {
    const answer = await this.#world.engine(0).queryUnknown(table, { where, select: { n: { fn: 'count' } } })
    return answer.rows[0]!['n'] as number
  }

  async #check(act: Act, hasStruck: boolean): Promise<void> {
    const world = this.#world
    const { lake, db } = world.real
    await verify(world, act.queries)
    await checkStore(lake, db)
    if (!hasStruck) return
    await verifyAll(world)
    await verifyLake(world, lake.movers[0].lifecycle, true)
    await world.assertNoAlarm()
    if (['refresh', 'redefine', 'expire'].includes(act.what) || this.#kills % 5 === 0)
      await this.#checkCells()
    if (this.#kills % 5 !== 0) return
    await refreshAll(world)
    // without mercy: nobody writes a file now
    await lake.movers[0].lifecycle.sweep()
    lake.mayHaveStrays = false
    await checkStore(lake, db)
  }

  /** Nothing of aggregates is half made, and once they are refreshed they say what rows say. */
  async #checkCells(): Promise<void> {
    const world = this.#world
    await assertWholeVersions(world)
    for (const name of aggregateNames) {
      // what was being built takes over; what was replaced goes with the next
      for (let i = 0; i < 2; i += 1) {
        const { isBusy, swap } = await world.engine(i).refresh(name)
        if (isBusy) throw new Error(`nobody refreshes ${name}, and yet somebody has it`)
        if (swap !== null && swap.kind !== 'swapped')
          throw new Error(`the new version of ${name} does not take over: ${swap.problem}`)
      }
    }
    await assertWholeVersions(world, ['current'])
    await verifyAggregates(world)
  }

  /** Work goes on after all of it: everything can be moved to and fro, and nothing is left over. */
  async #finish(): Promise<void> {
    const world = this.#world
    const { lake, db } = world.real
    const { lifecycle } = lake.movers[1]
    while (this.#unfinished) await this.#act({ ...actOf(this.#options.seed, 0), victim: null })
    // leases of the dead run out
    await sleep(450)
    for (const table of tables) {
      const definition = world.definition(table) as never
      for (const kind of ['freeze', 'compact', 'thaw', 'freeze'] as const) {
        const { failed, taken } = await lifecycle[kind](definition)
        if (failed.length + taken.length > 0)
          throw new Error(
            `work does not go on: ${kind} of ${table}: ${failed.map(({ reason }) => reason).join('; ')} ${taken.join(', ')}`,
          )
      }
    }
    await verifyAll(world)
    await refreshAll(world)
    await this.#checkCells()
    await world.assertNoAlarm()
    await verifyLake(world, lifecycle, true)
    await lake.movers[0].lifecycle.sweep()
    lake.mayHaveStrays = false
    await checkStore(lake, db)
    const { rows } = await db.query(raw(`select count(*) from tidemark.chunk where state = 'freezing'`))
    if (rows[0]![0] !== 0n) throw new Error('a chunk is still freezing')
  }
}

/** Tables of cells, versions and consumers of the change log belong together, one by one. */
async function assertWholeVersions(world: World, states = ['current', 'building', 'retired']): Promise<void> {
  const { rows } = await world.real.db.query(sql`
    select
      coalesce(v.id::text, 'none'),
      coalesce(v.state, 'none'),
      v.id is not null and v.state = any(${states}::text[])
        and c.oid is not null
        and (v.state = 'retired') = (u.name is null)
        and (v.state = 'retired' or count(*) filter (where v.state = 'current') over (partition by v.aggregate_id) = 1),
      coalesce(c.relname::text, 'no table'),
      coalesce(u.name, 'no consumer')
    from tidemark.aggregate_version as v
    full join (
      select oid, relname from pg_class
      where relnamespace = to_regnamespace('tidemark_aggregates') and relkind in ('r', 'p')
    ) as c on c.relname = v.relation_name
    full join (select name from tidemark.change_consumer where name like 'aggregate:%') as u
      on u.name = 'aggregate:' || v.id`)
  const wrong = rows.filter(([, , isWhole]) => isWhole !== true)
  if (wrong.length > 0 || rows.length < aggregateNames.length)
    throw new Error(`versions, tables of cells and consumers do not belong together: ${show(rows)}`)
}

async function untilItAnswers(ask: () => Promise<void>): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask()
    } catch (error) {
      if (tries > 200 || (isTidemarkError(error) && error.code === 'TM_CONFIG')) throw error
      await sleep(20)
    }
  }
}
