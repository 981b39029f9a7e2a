import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { convertTable } from '../../src/migrate/index.ts'
import { type Connection, createDatabase, sqlstateOf } from '../../src/postgres/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})
afterAll(() => test.drop())

/** mulberry32 */
function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296
  }
}

/** Values that are equal for PostgreSQL and not the same bits, and some that are unlike themselves. */
const floats = ['0', `'-0'`, `'NaN'`, `'Infinity'`, '1.5', 'null']
const numerics = ['1', '1.0', '1.00', `'NaN'`, 'null']
const documents = [`'{"a": 1}'`, `'{"a": 1.0}'`, `'[]'`, 'null']

interface World {
  readonly table: string
  readonly keyed: boolean
  readonly next: () => number
  isDone: boolean
}

function pick<T>(next: () => number, from: readonly T[]): T {
  return from[Math.floor(next() * from.length)]!
}

function time(next: () => number): string {
  const minute = Math.floor(next() * 3000)
  return `'2026-01-01'::timestamptz + ${minute} * interval '1 minute'`
}

/**
 * One write as SQL with %t for the table. Each writer keeps to its own ids, so that the same statements in the same
 * transaction do the same to the table and to its twin.
 */
function statement(world: World, writer: number): string {
  const { next } = world
  const id = () => writer * 1000 + Math.floor(next() * 60)
  const row = () =>
    `(${time(next)}, ${id()}, ${pick(next, floats)}::float8, ${pick(next, numerics)}::numeric, ${pick(next, documents)}::jsonb)`
  const insert = `insert into %t values ${Array.from({ length: 1 + Math.floor(next() * 4) }, row).join(', ')}`
  const range = `id between ${id()} and ${id()} and id / 1000 = ${writer}`
  const kinds = [
    () => (world.keyed ? `${insert} on conflict (id, time) do nothing` : insert),
    () => (world.keyed ? `${insert} on conflict do nothing` : insert),
    () =>
      `update %t set v = ${pick(next, floats)}::float8, n = ${pick(next, numerics)}::numeric where ${range}`,
    () =>
      `update %t set time = time + interval '7 hours' where ${range} and extract(minute from time)::int % 5 = ${Math.floor(next() * 5)}`,
    () => `delete from %t where ${range} and extract(minute from time)::int % 3 = ${Math.floor(next() * 3)}`,
  ]
  if (world.keyed) {
    kinds.push(
      () =>
        `insert into %t values ${row()} on conflict (id, time) do update set v = excluded.v, n = %t.n + 1`.replace(
          '%t.n',
          'excluded.n',
        ),
      () => `merge into %t as d using (values ${row()}) as s (time, id, v, n, j) on d.id = s.id and d.time = s.time
        when matched then update set v = s.v when not matched then insert values (s.time, s.id, s.v, s.n, s.j)`,
    )
  }
  return pick(next, kinds)()
}

/** Serialization, deadlock, and a shift in time that meets an existing key. */
const refusals = new Set(['40001', '40P01', '23505'])

/** Random transactions until the world ends; what PostgreSQL may refuse by its rules is rolled back on both tables. */
async function write(world: World, writer: number, connection: Connection): Promise<number> {
  let committed = 0
  const { next } = world
  const both = async (text: string) => {
    for (const table of [`r.${world.table}`, `r.${world.table}_twin`])
      await connection.execute(text.replaceAll('%t', table))
  }
  for (let n = 0; !world.isDone; n += 1) {
    const isolation = next() < 0.3 ? 'repeatable read' : 'read committed'
    const gid = `${test.name}_${world.table}_${writer}_${n}`
    const isPrepared = next() < 0.15
    try {
      await connection.execute(`begin isolation level ${isolation}`)
      for (let i = 0; i < 1 + next() * 3; i += 1) {
        if (next() < 0.2) {
          await connection.execute('savepoint s')
          await both(statement(world, writer))
          await connection.execute(next() < 0.5 ? 'rollback to savepoint s' : 'release savepoint s')
        }
        await both(statement(world, writer))
        if (next() < 0.1) await sleep(next() * 60)
      }
      if (isPrepared) {
        await connection.execute(`prepare transaction '${gid}'`)
        await sleep(next() * 40)
        await connection.execute(`${next() < 0.8 ? 'commit' : 'rollback'} prepared '${gid}'`)
      } else await connection.execute(next() < 0.9 ? 'commit' : 'rollback')
      committed += 1
    } catch (error) {
      const state = sqlstateOf(error)
      if (!refusals.has(state ?? '')) throw error
      await connection.execute('rollback')
    }
    if (next() < 0.3) await sleep(next() * 10)
  }
  return committed
}

const counts = (table: string) => sql`
  select (select count(*) from ${raw(`r.${table}`)}), (select count(*) from ${raw(`r.${table}_twin`)})`

/** In one snapshot both tables hold the same rows, whatever is being swapped. */
async function read(world: World, connection: Connection): Promise<number> {
  let reads = 0
  for (; !world.isDone; reads += 1) {
    if (world.next() < 0.5) {
      const { rows } = await connection.query(counts(world.table), { name: `counts_${world.table}` })
      expect(rows[0]![0]).toBe(rows[0]![1])
    } else {
      await connection.execute('begin isolation level repeatable read')
      // The snapshot is taken here; the table itself is looked at for the first time later.
      const twin = await connection.query(sql`select count(*) from ${raw(`r.${world.table}_twin`)}`)
      await sleep(world.next() * 80)
      const { rows } = await connection.query(sql`select count(*) from ${raw(`r.${world.table}`)}`)
      expect(rows[0]![0]).toBe(twin.rows[0]![0])
      await connection.execute('commit')
    }
    await sleep(world.next() * 10)
  }
  return reads
}

describe.each([
  { keyed: true, seed: Date.now() },
  { keyed: false, seed: Date.now() + 1 },
])('with random writers, readers and kills (keyed $keyed, seed $seed)', ({ keyed, seed }) => {
  it('ends with every row once, and no reader ever counts wrong', { timeout: 120_000 }, async () => {
    const next = random(seed)
    const world: World = { table: keyed ? 'keyed' : 'bare', keyed, next, isDone: false }
    const { table } = world
    await test.db.execute(`
      create schema if not exists r;
      create table r.${table} (
        time timestamptz not null, id int not null, v float8, n numeric, j jsonb${keyed ? ', primary key (id, time)' : ''}
      );
      insert into r.${table}
      select '2026-01-01'::timestamptz + (i * 7 % 3000) * interval '1 minute', (i % 3) * 1000 + i % 60, i % 5, 1.0, '{"a": 1}'
      from generate_series(1, 4000) as i
      ${keyed ? 'on conflict do nothing' : ''};
      create table r.${table}_twin (like r.${table} including all);
      insert into r.${table}_twin select * from r.${table}`)
    const definition = hypertable(`r.${table}`, {
      columns: {
        time: t.timestamptz(),
        id: t.int4(),
        v: t.float8().nullable(),
        n: t.numeric().nullable(),
        j: t.jsonb().nullable(),
      },
      time: 'time',
      chunk: '6 hours',
      ...(keyed ? { primaryKey: ['id', 'time'] as const } : {}),
      indexes: [],
    })
    const connections = await Promise.all(Array.from({ length: 5 }, () => test.connect()))
    const failed = new AbortController()
    const watched = <T>(promise: Promise<T>): Promise<T> => {
      promise.catch((error: unknown) => failed.abort(error))
      return promise
    }
    const work = [
      ...[0, 1, 2].map((writer) => watched(write(world, writer, connections[writer]!))),
      ...[3, 4].map((reader) => watched(read(world, connections[reader]!))),
    ]
    let kills = 0
    let runs = 0
    try {
      for (let isFinished = false; !isFinished; ) {
        runs += 1
        const name = `converter_${table}_${runs}`
        const db = createDatabase({ connectionString: test.connectionString, max: 3, applicationName: name })
        const mayKill = runs < 12
        const killer = new AbortController()
        const kill = sleep(20 + next() * 250, undefined, { signal: killer.signal }).then(
          async () => {
            kills += 1
            await test.db.query(
              sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${name}::text`,
            )
          },
          () => {},
        )
        if (!mayKill) killer.abort()
        try {
          const report = await convertTable(db, definition, {
            batchRows: 150,
            settleMs: 300,
            finishMs: 10_000,
            signal: failed.signal,
          })
          isFinished = report.unfinished === null
        } catch (error) {
          if (failed.signal.aborted) throw failed.signal.reason
          const state = sqlstateOf(error)
          const isKilled = state === '57P01' || (error as { code?: string }).code === 'TM_CONNECT'
          const isUnknown = (error as { code?: string }).code === 'TM_COMMIT_UNKNOWN'
          // The backend of a killed run may hold its lock for a moment.
          if (!isKilled && !isUnknown && (error as { code?: string }).code !== 'TM_BUSY') throw error
        } finally {
          killer.abort()
          await kill
          await db.close()
        }
      }
      // Everybody goes on with the hypertable for a while.
      await sleep(100)
    } finally {
      world.isDone = true
    }
    const [first, second, third, ...reads] = await Promise.all(work)
    expect(Math.min(first!, second!, third!, ...reads)).toBeGreaterThan(3)
    expect(kills).toBeGreaterThan(0)
    const difference = await test.db.query(sql`
      select count(*)
      from (
        select record_send(row(time, id, v, n, j)) as image, count(*) as n from ${raw(`r.${table}`)} as x group by 1
      ) as a
      full join (
        select record_send(row(time, id, v, n, j)) as image, count(*) as n from ${raw(`r.${table}_twin`)} as x group by 1
      ) as b using (image)
      where a.n is distinct from b.n`)
    expect(difference.rows[0]![0]).toBe(0n)
    const kinds = await test.db.query(sql`
      select relkind::text, (select count(*) from pg_trigger where tgrelid = c.oid and tgname like 'tidemark\\_conversion%')
      from pg_class as c where oid = ${`r.${table}`}::regclass`)
    expect(kinds.rows[0]).toEqual(['p', 0n])
    await Promise.all(connections.map((c) => c.close()))
  })
})
