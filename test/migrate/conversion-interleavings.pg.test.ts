import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ConversionProgress, convertTable } from '../../src/migrate/index.ts'
import { type Connection, createDatabase, sqlstateOf } from '../../src/postgres/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await test.db.execute('create schema i')
})
afterAll(() => test.drop())

function definition(table: string) {
  return hypertable(`i.${table}`, {
    columns: { time: t.timestamptz(), id: t.int4(), v: t.int4() },
    time: 'time',
    chunk: '1 day',
    primaryKey: ['id', 'time'],
    indexes: [],
  })
}

async function create(table: string): Promise<void> {
  await test.db.execute(`
    create table i.${table} (time timestamptz not null, id int not null, v int not null, primary key (id, time));
    create index on i.${table} (time);
    insert into i.${table}
    select '2026-01-01'::timestamptz + i * interval '10 minutes', i, 0 from generate_series(1, 1000) as i;
    analyze i.${table}`)
}

async function one(text: string, on: Pick<Connection, 'query'> = test.db): Promise<unknown> {
  return (await on.query(raw(text))).rows[0]?.[0]
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries += 1) {
    if (tries > 1000) throw new Error('the condition never came true')
    await sleep(10)
  }
}

/** Until a backend waits for a lock on the table. */
function untilWaiting(processId: number, table: string): Promise<void> {
  return until(async () => {
    const { rows } = await test.db.query(sql`
      select count(*) from pg_locks
      where pid = ${processId}::int and not granted and relation = ${`i.${table}`}::regclass`)
    return rows[0]![0] === 1n
  })
}

/** Until somebody who is not listed waits for the table in this mode: the conversion. */
function untilLocking(table: string, mode: string): Promise<void> {
  return until(async () => {
    const { rows } = await test.db.query(sql`
      select count(*) from pg_locks
      where not granted and mode = ${mode}::text and relation = ${`i.${table}`}::regclass`)
    return rows[0]![0] !== 0n
  })
}

const patient = { lockTimeoutMs: 20_000, settleMs: 20_000, batchRows: 200 } as const

/** Runs a conversion and tells of its phases. */
function convert(table: string, options: object = {}) {
  const phases: ConversionProgress[] = []
  const report = convertTable(test.db, definition(table), {
    ...patient,
    ...options,
    onProgress: (progress) => phases.push(progress),
  })
  report.catch(() => {})
  return { report, phases }
}

/** Leaves a conversion where a kill in this phase would. */
async function stopAt(table: string, phase: ConversionProgress['phase']): Promise<void> {
  const stop = new AbortController()
  await convertTable(test.db, definition(table), {
    ...patient,
    signal: stop.signal,
    onProgress: (progress) => {
      if (progress.phase === phase) stop.abort()
    },
  }).catch((error: unknown) => {
    if (!isTidemarkError(error) || error.code !== 'TM_CANCELLED') throw error
  })
}

describe('the beginning of a conversion', () => {
  it('waits for who has written before its triggers, so that their rows are seen by the copy', async () => {
    await create('before')
    const writer = await test.connect()
    await writer.execute(`begin; insert into i.before values ('2026-01-02', 5000, 1)`)
    await writer.execute(`prepare transaction '${test.name}_before'`)
    const { report } = convert('before')
    await untilLocking('before', 'AccessExclusiveLock')
    await writer.execute(`commit prepared '${test.name}_before'`)
    await report
    expect(await one('select count(*) from i.before')).toBe(1001n)
    expect(await one('select count(*) from only i.before_before_tidemark')).toBe(1001n)
  })
})

describe('a writer that is open while its range is copied', () => {
  it.each(['read committed', 'repeatable read'])('keeps its rows at %s', async (isolation) => {
    const table = isolation === 'read committed' ? 'open_rc' : 'open_rr'
    await create(table)
    const writer = await test.connect()
    let wrote: Promise<void> | null = null
    const conversion = convertTable(test.db, definition(table), {
      ...patient,
      lockTimeoutMs: 200,
      batchRows: 100,
      onProgress: ({ phase }) => {
        if (phase === 'copying' && !wrote)
          wrote = writer.execute(`
            begin isolation level ${isolation};
            insert into i.${table} values ('2026-01-01 00:05Z', 7000, 1), ('2026-01-07 00:05Z', 7001, 1);
            update i.${table} set v = 9 where id in (2, 900);
            delete from i.${table} where id in (3, 901)`)
      },
    })
    await until(
      async () =>
        (await one(`select state from tidemark.conversion where table_name = '${table}'`)) === 'catching-up',
    )
    await wrote
    await writer.execute('commit')
    const report = await conversion
    expect(report.unfinished).toBeNull()
    expect(await one(`select string_agg(id || ':' || v, ' ' order by id) from i.${table} where v > 0`)).toBe(
      '2:9 900:9 7000:1 7001:1',
    )
    expect(await one(`select count(*) from i.${table}`)).toBe(1000n)
  })
})

describe('the swap', () => {
  it('waits for a snapshot from before, which then reads what it has to see', async () => {
    await create('older')
    const reader = await test.connect()
    await reader.execute('begin isolation level repeatable read')
    await one('select 1', reader)
    const { report, phases } = convert('older', { settleMs: 50 })
    await until(async () => phases.some((p) => p.waitsFor?.includes('older snapshot')))
    expect(await one('select count(*) from i.older', reader)).toBe(1000n)
    expect(await one(`select relkind::text from pg_class where oid = 'i.older'::regclass`)).toBe('r')
    await reader.execute('commit')
    expect((await report).unfinished).toBeNull()
  })

  it('waits for transactions of roles that it may not look at, and for no idle session of theirs', async () => {
    const [owner, stranger] = [`${test.name}_owner`, `${test.name}_stranger`]
    await test.db.execute(`
      create role ${owner} login; create role ${stranger} login;
      grant create on database ${test.name} to ${owner};
      create schema hidden authorization ${owner};
      grant usage on schema hidden to ${stranger};
      grant all on schema tidemark, tidemark_chunks to ${owner};
      grant all on all tables in schema tidemark to ${owner};
      grant all on all sequences in schema tidemark to ${owner};
      grant execute on all functions in schema tidemark to ${owner};
      create table hidden.t (time timestamptz not null, id int not null);
      create index on hidden.t (time);
      insert into hidden.t select '2026-01-01'::timestamptz + i * interval '1 hour', i from generate_series(1, 100) as i;
      grant select on hidden.t to ${stranger};
      alter table hidden.t owner to ${owner}`)
    const as = (role: string) => {
      const url = new URL(test.connectionString)
      url.username = role
      return createDatabase({ connectionString: url.href, max: 3 })
    }
    const [mine, theirs] = [as(owner), as(stranger)]
    const plain = hypertable('hidden.t', {
      columns: { time: t.timestamptz(), id: t.int4() },
      time: 'time',
      chunk: '1 day',
      indexes: [],
    })
    try {
      // One that stays idle all the time, and one with a snapshot.
      await Promise.all([theirs.execute('select 1'), theirs.execute('select 1')])
      const waits: (string | null)[] = []
      let conversion: Promise<unknown> | undefined
      const read = await theirs.transaction({ mode: 'repeatable read' }, async (c) => {
        await c.execute('select 1')
        conversion = convertTable(mine, plain, {
          ...patient,
          settleMs: 50,
          onProgress: (p) => waits.push(p.waitsFor),
        })
        conversion.catch(() => {})
        await until(async () => waits.some((w) => w?.includes(`role ${stranger}, in a transaction`)))
        return one('select count(*) from hidden.t', c)
      })
      expect(read).toBe(100n)
      await conversion
      expect(await one(`select relkind::text from pg_class where oid = 'hidden.t'::regclass`)).toBe('p')
    } finally {
      await Promise.all([mine.close(), theirs.close()])
      await test.db.execute(`
        drop schema hidden cascade;
        drop owned by ${owner}, ${stranger} cascade;
        drop role ${owner}, ${stranger}`)
    }
  })

  it('says who holds it up when its patience ends, and goes on the next time', async () => {
    await create('busy')
    const holder = await test.connect()
    await holder.execute('begin')
    await one('select count(*) from i.busy', holder)
    const error = await convert('busy', { lockTimeoutMs: 50, patienceMs: 300 }).report.catch(
      (e: unknown) => e,
    )
    expect(isTidemarkError(error) && error.code).toBe('TM_BUSY')
    expect((error as Error).message).toContain(`process ${holder.processId}`)
    await holder.execute(
      `insert into i.busy values ('2026-01-01', 0, 0); prepare transaction '${test.name}_busy'`,
    )
    const again = await convert('busy', { lockTimeoutMs: 50, patienceMs: 300 }).report.catch(
      (e: unknown) => e,
    )
    expect((again as Error).message).toContain(`prepared transaction "${test.name}_busy"`)
    await holder.execute(`commit prepared '${test.name}_busy'`)
    expect((await convert('busy').report).unfinished).toBeNull()
  })

  it('lets blocked readers, writers and prepared statements go on with the hypertable', async () => {
    await create('blocked')
    const [holder, reader, writer, prepared, serial, upserter] = await Promise.all(
      Array.from({ length: 6 }, () => test.connect()),
    )
    await prepared!.execute(`
      prepare counting as select count(*) from i.blocked;
      prepare adding as insert into i.blocked values ('2026-01-03 00:01Z', 8001, 1);
      execute counting`)
    await stopAt('blocked', 'indexing')
    // Keeps the conversion from the lock of writers, with everybody else behind it.
    await holder!.execute('begin; update i.blocked set v = 6 where id = 6')
    const early = await test.connect()
    await early.execute(`begin; insert into i.blocked values ('2026-01-03 00:03Z', 9001, 3)`)
    const { report } = convert('blocked')
    await untilLocking('blocked', 'ShareRowExclusiveLock')
    // Seen by the snapshot below, and taken over into the new table after it.
    await early.execute('commit')
    await serial!.execute('begin isolation level repeatable read')
    await one('select 1', serial!)
    const waiting = [
      writer!.execute(`insert into i.blocked values ('2026-01-03 00:02Z', 8002, 1)`),
      upserter!.execute(
        `insert into i.blocked values ('2026-01-01 00:10Z', 1, 7) on conflict (id, time) do update set v = 7`,
      ),
      prepared!.execute('execute adding'),
      serial!.execute('update i.blocked set v = 100 where id = 9001').then(
        () => 'done',
        (error: unknown) => sqlstateOf(error),
      ),
    ]
    for (const connection of [writer!, upserter!, prepared!, serial!])
      await untilWaiting(connection.processId, 'blocked')
    // Another one that keeps the conversion from the lock of readers.
    const last = await test.connect()
    // A script, because the portal of an extended query would keep its snapshot until the transaction ends.
    await last.execute('begin; select count(*) from i.blocked')
    await holder!.execute('commit')
    await untilLocking('blocked', 'AccessExclusiveLock')
    const blockedRead = one('select count(*) from i.blocked', reader!)
    await untilWaiting(reader!.processId, 'blocked')
    await last.execute('commit')
    // The one that began before the swap may not go on: it would not see a row of the new table.
    expect(await Promise.all(waiting)).toEqual([undefined, undefined, undefined, '40001'])
    await serial!.execute('rollback')
    expect(Number(await blockedRead)).toBeGreaterThanOrEqual(1000)
    expect((await report).unfinished).toBeNull()
    await prepared!.execute('execute counting')
    expect(await one('select count(*) from i.blocked')).toBe(1003n)
    expect(
      await one('select string_agg(id || $$:$$ || v, $$ $$ order by id) from i.blocked where v > 0'),
    ).toBe('1:7 6:6 8001:1 8002:1 9001:3')
    expect(await one(`select count(*) from only i.blocked_before_tidemark where id in (8001, 8002)`)).toBe(0n)
  })
})

describe('rows without a place in time that are written during a conversion', () => {
  it('stop the swap, and let it go on when they are gone', async () => {
    await test.db.execute(`
      create table i.nulls (time timestamptz, id int not null, v int not null);
      insert into i.nulls select '2026-01-01'::timestamptz + i * interval '10 minutes', i, 0 from generate_series(1, 300) as i`)
    const plain = hypertable('i.nulls', {
      columns: { time: t.timestamptz(), id: t.int4(), v: t.int4() },
      time: 'time',
      chunk: '1 day',
      indexes: [],
    })
    let wrote: Promise<void> | null = null
    const error = await convertTable(test.db, plain, {
      ...patient,
      onProgress: ({ phase }) => {
        if (phase === 'copying' && !wrote)
          wrote = test.db.execute(`insert into i.nulls values (null, 1, 1), ('-infinity', 2, 2)`)
      },
    }).catch((e: unknown) => e)
    await wrote
    expect((error as Error).message).toContain('2 rows without a place in time')
    await test.db.execute(
      `delete from i.nulls where time is null; update i.nulls set time = '2026-01-01' where id = 2 and v = 2`,
    )
    expect((await convertTable(test.db, plain, patient)).unfinished).toBeNull()
    expect(await one('select count(*) from i.nulls')).toBe(301n)
  })
})
