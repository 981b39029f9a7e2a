import { createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  assertSupportedVersion,
  type Connection,
  createDatabase,
  type Database,
  isRetryable,
  sqlstateOf,
} from '../../src/postgres/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'
import { identifier, join, raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
let db: Database
beforeAll(async () => {
  test = await createTestDatabase()
  db = test.db
  await db.execute(`
    create table account (id int4 primary key, balance int8 not null check (balance >= 0));
    insert into account values (1, 100), (2, 0)`)
})
afterAll(() => test.drop())

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries += 1) {
    if (tries > 400) throw new Error('the condition did not come true in 10 s')
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** Whether the server runs a statement that holds the marker. */
async function isRunning(marker: string): Promise<boolean> {
  const { rows } = await db.query(sql`
    select 1::int4 from pg_stat_activity
    where state = 'active' and pid <> pg_backend_pid() and query like ${`%${marker}%`}::text`)
  return rows.length > 0
}

describe('statements', () => {
  it('answer with rows, column names and the number of rows', async () => {
    const answer = await db.query(sql`select 1::int4 as one, ${2n}::int8 as two`)
    expect(answer).toEqual({ rows: [[1, 2n]], columns: ['one', 'two'], rowCount: 1 })
  })

  it('that change rows answer with how many', async () => {
    const { rowCount, rows } = await db.query(
      sql`update account set balance = balance where id = any(${[1, 2, 3]}::int4[])`,
    )
    expect({ rowCount, rows }).toEqual({ rowCount: 2, rows: [] })
  })

  it('in a script run in one implicit transaction', async () => {
    await expect(db.execute('create table half (x int); select 1/0')).rejects.toMatchObject({
      params: { sqlstate: '22012' },
    })
    const { rows } = await db.query(sql`select to_regclass('half') is null`)
    expect(rows).toEqual([[true]])
  })

  it('called at once on one connection run in their order', async () => {
    const answers = await db.withConnection((connection) =>
      Promise.all([1, 2, 3].map((n) => connection.query(sql`select ${n}::int4`))),
    )
    expect(answers.map(({ rows }) => rows[0]![0])).toEqual([1, 2, 3])
  })

  it('with a name are parsed once, and a name cannot mean two texts', async () => {
    await db.withConnection(async (connection) => {
      await connection.query(sql`select ${1}::int4`, { name: 'one' })
      await connection.query(sql`select ${2}::int4`, { name: 'one' })
      const { rows } = await connection.query(sql`select count(*) from pg_prepared_statements`)
      expect(rows).toEqual([[1n]])
      await expect(connection.query(sql`select ${1}::int8`, { name: 'one' })).rejects.toThrow(
        'in use for another text',
      )
    })
  })

  it('without a name leave no prepared statement behind', async () => {
    const connection = await test.connect()
    await connection.query(sql`select ${1}::int4`)
    const { rows } = await connection.query(sql`select count(*) from pg_prepared_statements`)
    expect(rows).toEqual([[0n]])
    await connection.close()
  })

  it('know the server and its version', async () => {
    expect(await db.serverVersion()).toBeGreaterThanOrEqual(150000)
    expect([15, 16, 17, 18]).toContain(await assertSupportedVersion(db))
    const old = { ...db, serverVersion: async () => 140011 } as Database
    await expect(assertSupportedVersion(old)).rejects.toMatchObject({
      code: 'TM_POSTGRES_VERSION',
      params: { found: '14.11' },
    })
  })
})

describe('errors', () => {
  it('of a second row with the same key are TM_DUPLICATE_KEY with table and detail', async () => {
    const call = db.query(sql`insert into account values (1, 5)`)
    await expect(call).rejects.toMatchObject({
      code: 'TM_DUPLICATE_KEY',
      params: { table: 'public.account' },
    })
    await expect(call).rejects.toThrow('Key (id)=(1) already exists')
    expect(sqlstateOf(await call.catch((error) => error))).toBe('23505')
  })

  it('of other constraints are TM_CONSTRAINT with their name', async () => {
    await expect(db.query(sql`update account set balance = -1`)).rejects.toMatchObject({
      code: 'TM_CONSTRAINT',
      params: { table: 'public.account', constraint: 'account_balance_check' },
    })
    await expect(db.query(sql`insert into account values (3, null)`)).rejects.toMatchObject({
      code: 'TM_CONSTRAINT',
    })
  })

  it('without a code of their own are TM_DATABASE with SQLSTATE and cause', async () => {
    const error = await db.query(sql`select * from nowhere`).catch((problem) => problem)
    expect(error).toMatchObject({ code: 'TM_DATABASE', params: { sqlstate: '42P01' } })
    expect(error.cause.message).toContain('nowhere')
    expect(sqlstateOf(new Error('wrapped', { cause: error }))).toBe('42P01')
  })

  it('of a server that is not there name it without the password', async () => {
    const closed = createDatabase({ connectionString: 'postgres://me:secret@127.0.0.1:1/app' })
    const error = await closed.query(sql`select 1`).catch((problem) => problem)
    expect(error).toMatchObject({ code: 'TM_CONNECT', params: { target: 'me@127.0.0.1:1/app' } })
    expect(JSON.stringify([error.message, error.params])).not.toContain('secret')
  })

  it('of a server that takes the connection and says nothing come after connectTimeoutMs', async () => {
    const sockets: Socket[] = []
    const mute = createServer((socket) => sockets.push(socket))
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const { port } = mute.address() as { port: number }
    const silent = createDatabase({
      connectionString: `postgres://x@127.0.0.1:${port}/x`,
      connectTimeoutMs: 100,
    })
    await expect(silent.query(sql`select 1`)).rejects.toMatchObject({ code: 'TM_CONNECT' })
    for (const socket of sockets) socket.destroy()
    mute.close()
  })

  it.each([
    [{ connectionString: '' }, 'connectionString'],
    [{ connectionString: 'postgres://a:p@ss@[::/x' }, 'connectionString'],
    [{ connectionString: 'postgres://localhost/x', max: 0 }, 'max'],
    [{ connectionString: 'postgres://localhost/x', connectTimeoutMs: 1.5 }, 'connectTimeoutMs'],
  ])('of the options %j name the option', async (options, path) => {
    await expect((async () => createDatabase(options).query(sql`select 1`))()).rejects.toMatchObject({
      code: 'TM_CONFIG',
      params: { path },
    })
  })
})

describe('transactions', () => {
  it('commit what they return from and roll back what they throw from', async () => {
    expect(
      await db.transaction({}, async (tx) => {
        await tx.query(sql`update account set balance = 50 where id = 1`)
        return 'done'
      }),
    ).toBe('done')
    const stop = new Error('stop')
    await expect(
      db.transaction({}, async (tx) => {
        await tx.query(sql`update account set balance = 0 where id = 1`)
        throw stop
      }),
    ).rejects.toBe(stop)
    const { rows } = await db.query(sql`select balance from account where id = 1`)
    expect(rows).toEqual([[50n]])
  })

  it.each([
    [undefined, ['read committed', 'off']],
    ['repeatable read', ['repeatable read', 'off']],
    ['repeatable read read only', ['repeatable read', 'on']],
    ['serializable', ['serializable', 'off']],
  ] as const)('in mode %s have that isolation', async (mode, expected) => {
    const { rows } = await db.transaction({ mode }, (tx) =>
      tx.query(
        sql`select current_setting('transaction_isolation'), current_setting('transaction_read_only')`,
      ),
    )
    expect(rows).toEqual([expected])
  })

  it('set their timeouts for themselves only', async () => {
    const alone = createDatabase({ connectionString: test.connectionString, max: 1 })
    const show = sql`select current_setting('lock_timeout'), current_setting('statement_timeout')`
    const inside = await alone.transaction({ lockTimeoutMs: 200, statementTimeoutMs: 3000 }, (tx) =>
      tx.query(show),
    )
    expect(inside.rows).toEqual([['200ms', '3s']])
    expect((await alone.query(show)).rows).toEqual([['0', '0']])
    await alone.close()
  })

  it('begin in one round trip', async () => {
    const { proxy, connectionString, requests } = await countingProxy(test.connectionString)
    const alone = createDatabase({ connectionString, max: 1 })
    await alone.query(sql`select 1`)
    const before = requests()
    await alone.transaction(
      { lockTimeoutMs: 200, statementTimeoutMs: 3000, mode: 'repeatable read' },
      async () => {},
    )
    // begin with its settings, commit
    expect(requests() - before).toBe(2)
    await alone.close()
    proxy.close()
  })

  it('whose failed statement was swallowed do not pretend to have committed', async () => {
    const call = db.transaction({}, async (tx) => {
      await tx.query(sql`update account set balance = 1 where id = 2`)
      await tx.query(sql`select 1/0`).catch(() => {})
    })
    await expect(call).rejects.toMatchObject({ code: 'TM_DATABASE', params: { sqlstate: '25P02' } })
    const { rows } = await db.query(sql`select balance from account where id = 2`)
    expect(rows).toEqual([[0n]])
  })

  it('that take too long end with TM_TIMEOUT and their limit', async () => {
    await expect(
      db.transaction({ statementTimeoutMs: 50 }, (tx) => tx.query(sql`select pg_sleep(60)`)),
    ).rejects.toMatchObject({ code: 'TM_TIMEOUT', params: { limitMs: 50 } })
  })

  it('that wait too long for a lock keep SQLSTATE 55P03', async () => {
    const holder = await test.connect()
    await holder.execute('begin; lock table account')
    const call = db.transaction({ lockTimeoutMs: 50 }, (tx) => tx.query(sql`select * from account`))
    expect(sqlstateOf(await call.catch((error) => error))).toBe('55P03')
    await holder.execute('rollback')
    await holder.close()
  })

  it('whose connection breaks during commit say that the outcome is unknown', async () => {
    const call = db.transaction({}, async (tx) => {
      // A deferred trigger ends the backend inside COMMIT.
      await tx.execute(`
        create table doomed (x int4);
        create function end_me() returns trigger language plpgsql as
          'begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); return null; end';
        create constraint trigger doom after insert on doomed deferrable initially deferred
          for each row execute function end_me();
        insert into doomed values (1)`)
    })
    await expect(call).rejects.toMatchObject({ code: 'TM_COMMIT_UNKNOWN', retryable: false })
    expect((await db.query(sql`select 1::int4`)).rows).toEqual([[1]])
  })
})

describe('a connection that breaks', () => {
  /** Runs a statement with the marker on a connection whose socket is cut as soon as the server runs it. */
  async function cut(marker: string, use: (alone: Database) => Promise<unknown>): Promise<unknown> {
    const { proxy, connectionString, cutAll } = await countingProxy(test.connectionString)
    const alone = createDatabase({ connectionString, max: 1 })
    const call = use(alone).catch((error) => error)
    await until(() => isRunning(marker))
    cutAll()
    const error = await call
    await alone.close()
    proxy.close()
    await db.query(sql`
      select pg_terminate_backend(pid, 10000)
      from pg_stat_activity
      where query like ${`%${marker}%`}::text and pid <> pg_backend_pid()`)
    return error
  }

  it('inside a transaction leaves nothing, so it may be tried again', async () => {
    const error = await cut('cut-me-1', (alone) =>
      alone.transaction({}, (tx) => tx.query(sql`select pg_sleep(60), 'cut-me-1'`)),
    )
    expect(error).toMatchObject({ code: 'TM_CONNECT' })
    expect(isRetryable(error)).toBe(true)
  })

  it('outside of one may have committed, so it is not tried again by itself', async () => {
    const error = await cut('cut-me-2', (alone) => alone.query(sql`select pg_sleep(60), 'cut-me-2'`))
    expect(error).toMatchObject({ code: 'TM_COMMIT_UNKNOWN' })
    expect(isRetryable(error)).toBe(false)
  })
})

describe('limits', () => {
  it('more parameters than the protocol can count are refused with the way out', async () => {
    const values = Array.from({ length: 65_536 }, (_, n) => sql`${n}::int4`)
    const call = db.query(sql`select count(*) from unnest(array[${join(values, ', ')}])`)
    await expect(call).rejects.toMatchObject({ code: 'TM_LIMIT' })
    const most = db.query(sql`select cardinality(array[${join(values.slice(1), ', ')}])`)
    expect((await most).rows).toEqual([[65_535]])
  })

  it('a NUL character is refused in the text and in a value', async () => {
    await expect(db.execute(`select 'a\0b'`)).rejects.toMatchObject({ params: { sqlstate: '22021' } })
    await expect(db.query(sql`select ${'a\0b'}::text`)).rejects.toMatchObject({
      params: { sqlstate: '22021' },
    })
    expect((await db.query(sql`select 1::int4`)).rows).toEqual([[1]])
  })
})

describe('a signal', () => {
  it('stops the statement in the server too', async () => {
    const abort = new AbortController()
    const call = db.query(sql`select pg_sleep(60), 'cancel-me-1'`, { signal: abort.signal })
    call.catch(() => {})
    await until(() => isRunning('cancel-me-1'))
    abort.abort()
    await expect(call).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    await until(async () => !(await isRunning('cancel-me-1')))
  })

  it('that comes before the server has begun stops it all the same', async () => {
    for (let round = 0; round < 10; round += 1) {
      const abort = new AbortController()
      const call = db.withConnection(async (connection) => {
        await connection.query(sql`select 1`)
        const sleeping = connection.query(sql`select pg_sleep(60), 'cancel-me-3'`, { signal: abort.signal })
        sleeping.catch(() => {})
        // The statement is on its way, no answer can have come.
        await Promise.resolve()
        await Promise.resolve()
        abort.abort()
        return sleeping
      })
      await expect(call).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    }
    expect(await isRunning('cancel-me-3')).toBe(false)
  })

  it('that is aborted already sends nothing', async () => {
    await expect(db.query(sql`select 1`, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'TM_CANCELLED',
    })
  })

  it('with one of our errors as reason ends with that error', async () => {
    const reason = new TidemarkError('TM_TIMEOUT', { what: 'the query', limitMs: 20 })
    const abort = new AbortController()
    setTimeout(() => abort.abort(reason), 20)
    await expect(db.query(sql`select pg_sleep(60)`, { signal: abort.signal })).rejects.toBe(reason)
  })

  it('of a transaction stops the statement that runs, and rolls back', async () => {
    const abort = new AbortController()
    const call = db.transaction({ signal: abort.signal }, async (tx) => {
      await tx.query(sql`update account set balance = 77 where id = 2`)
      await tx.query(sql`select pg_sleep(60), 'cancel-me-2'`)
    })
    call.catch(() => {})
    await until(() => isRunning('cancel-me-2'))
    abort.abort()
    await expect(call).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    const { rows } = await db.query(sql`select balance from account where id = 2`)
    expect(rows).toEqual([[0n]])
  })

  it('ends the wait for a connection', async () => {
    const alone = createDatabase({ connectionString: test.connectionString, max: 1 })
    await alone.withConnection(async () => {
      const abort = new AbortController()
      const waiting = alone.query(sql`select 1`, { signal: abort.signal })
      abort.abort()
      await expect(waiting).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    })
    expect((await alone.query(sql`select 1::int4`)).rows).toEqual([[1]])
    await alone.close()
  })

  it('never hits a later statement of somebody else', async () => {
    const alone = createDatabase({ connectionString: test.connectionString, max: 1 })
    for (let round = 0; round < 60; round += 1) {
      const abort = new AbortController()
      const call = alone.query(sql`select pg_sleep(0.002)`, { signal: abort.signal }).catch(() => {})
      setTimeout(() => abort.abort(), round % 6)
      await call
      await alone.query(sql`select pg_sleep(0.002)`)
    }
    await alone.close()
  })
})

describe('the pool', () => {
  it('never lends a connection again that was left in a transaction', async () => {
    const alone = createDatabase({ connectionString: test.connectionString, max: 1 })
    const pids: number[] = []
    for (const leave of ['begin', 'begin; select 1/0', 'select 1'])
      await alone
        .withConnection(async (connection) => {
          pids.push(connection.processId)
          await connection.execute(leave)
        })
        .catch(() => {})
    await alone.withConnection(async (connection) => {
      pids.push(connection.processId)
    })
    expect(pids[1]).not.toBe(pids[0])
    expect(pids[2]).not.toBe(pids[1])
    expect(pids[3]).toBe(pids[2])
    await alone.close()
  })

  it('never lends one again on which a statement still runs', async () => {
    const alone = createDatabase({ connectionString: test.connectionString, max: 1 })
    let left: Promise<unknown> = Promise.resolve()
    const first = await alone.withConnection(async (connection) => {
      left = connection.query(sql`select pg_sleep(60)`).catch((error) => error)
      return connection.processId
    })
    expect(await left).toMatchObject({ params: { sqlstate: '08003' } })
    expect(await alone.withConnection(async ({ processId }) => processId)).not.toBe(first)
    await alone.close()
  })

  it('refuses the use of a connection after it was given back', async () => {
    let kept!: Connection
    await db.withConnection(async (connection) => {
      kept = connection
    })
    await expect(kept.query(sql`select 1`)).rejects.toMatchObject({ params: { sqlstate: '08003' } })
  })

  it('opens a new connection after the server ended one that was idle', async () => {
    const alone = createDatabase({ connectionString: test.connectionString, max: 1 })
    const pid = await alone.withConnection(async ({ processId }) => processId)
    await db.query(sql`select pg_terminate_backend(${pid}::int4)`)
    await until(async () => {
      const answer = await alone.query(sql`select pg_backend_pid()`).catch(() => null)
      return answer !== null && answer.rows[0]![0] !== pid
    })
    await alone.close()
  })

  it('opens no more than max, serves in order, and says when the wait is too long', async () => {
    const two = createDatabase({ connectionString: test.connectionString, max: 2, acquireTimeoutMs: 100 })
    const order: number[] = []
    const pids = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((n) =>
        two.withConnection(async ({ processId }) => {
          order.push(n)
          return processId
        }),
      ),
    )
    expect(order).toEqual([1, 2, 3, 4, 5, 6])
    expect(new Set(pids).size).toBeLessThanOrEqual(2)
    await two.withConnection(() =>
      two.withConnection(async () => {
        await expect(two.query(sql`select 1`)).rejects.toMatchObject({
          code: 'TM_TIMEOUT',
          params: { limitMs: 100 },
        })
      }),
    )
    await two.close()
  })

  it('refuses more waiting calls than maxWaiting', async () => {
    const small = createDatabase({ connectionString: test.connectionString, max: 1, maxWaiting: 2 })
    const waiting: Promise<unknown>[] = []
    await small.withConnection(async () => {
      waiting.push(small.query(sql`select 1`), small.query(sql`select 1`))
      await expect(small.query(sql`select 1`)).rejects.toMatchObject({ code: 'TM_BUSY' })
    })
    await Promise.all(waiting)
    await small.close()
  })

  it('closes unused connections', async () => {
    const name = 'idle-closer'
    const idle = createDatabase({
      connectionString: test.connectionString,
      idleTimeoutMs: 20,
      applicationName: name,
    })
    await idle.query(sql`select 1`)
    await until(async () => {
      const { rows } = await db.query(
        sql`select 1 from pg_stat_activity where application_name = ${name}::text`,
      )
      return rows.length === 0
    })
    await idle.close()
  })

  it('closes after what is lent has come back, and then takes nothing more', async () => {
    const closing = createDatabase({ connectionString: test.connectionString })
    const work = closing.query(sql`select 5::int4, pg_sleep(0.1)`)
    await until(() => isRunning('pg_sleep(0.1)'))
    await closing.close()
    expect((await work).rows[0]![0]).toBe(5)
    await expect(closing.query(sql`select 1`)).rejects.toMatchObject({ params: { sqlstate: '08003' } })
  })
})

describe('COPY', () => {
  beforeAll(() => db.execute('create table copied (n int8, t text)'))
  const into = sql`copy ${identifier('copied')} (n, t) from stdin`
  const count = async () => (await db.query(sql`select count(*) from copied`)).rows[0]![0]

  async function* lines(from: number, to: number): AsyncGenerator<Buffer> {
    for (let n = from; n < to; n += 1000) {
      let text = ''
      for (let i = n; i < Math.min(to, n + 1000); i += 1) text += `${i}\trow ${i}\n`
      yield Buffer.from(text)
    }
  }

  it('in and out again gives the same bytes', async () => {
    await db.withConnection(async (connection) => {
      expect(await connection.copyFrom(into, lines(0, 50_000))).toBe(50_000)
      const parts: Uint8Array[] = []
      for await (const part of connection.copyTo(sql`copy (select * from copied order by n) to stdout`))
        parts.push(part)
      const sent: Uint8Array[] = []
      for await (const part of lines(0, 50_000)) sent.push(part)
      expect(Buffer.concat(parts).equals(Buffer.concat(sent))).toBe(true)
      expect((await connection.query(sql`select 1::int4`)).rows).toEqual([[1]])
    })
    await db.execute('truncate copied')
  })

  it('in from nothing copies nothing, and a buffer larger than a message goes over in pieces', async () => {
    await db.withConnection(async (connection) => {
      expect(await connection.copyFrom(into, [])).toBe(0)
      expect(await connection.copyFrom(into, [Buffer.from(`1\t${'x'.repeat(5_000_000)}\n`)])).toBe(1)
      const { rows } = await connection.query(sql`select length(t) from copied`)
      expect(rows).toEqual([[5_000_000]])
    })
    await db.execute('truncate copied')
  })

  it('in from a source that fails copies nothing and throws the error of the source', async () => {
    const problem = new Error('the file ended early')
    async function* failing() {
      yield* lines(0, 5000)
      throw problem
    }
    await db.withConnection(async (connection) => {
      await expect(connection.copyFrom(into, failing())).rejects.toBe(problem)
      expect((await connection.query(sql`select 1::int4`)).rows).toEqual([[1]])
    })
    expect(await count()).toBe(0n)
  })

  it('in that the server refuses stops reading the source', async () => {
    let read = 0
    let isClosed = false
    async function* endless() {
      try {
        for (;;) {
          read += 1
          yield Buffer.from('not a number\tx\n')
          await new Promise((resolve) => setImmediate(resolve))
        }
      } finally {
        isClosed = true
      }
    }
    await db.withConnection(async (connection) => {
      await expect(connection.copyFrom(into, endless())).rejects.toMatchObject({
        params: { sqlstate: '22P02' },
      })
      expect((await connection.query(sql`select 1::int4`)).rows).toEqual([[1]])
    })
    expect(isClosed).toBe(true)
    expect(read).toBeGreaterThan(0)
  })

  it('in to a table that is not there reads nothing from the source', async () => {
    let isRead = false
    async function* source() {
      isRead = true
      yield Buffer.from('1\tx\n')
    }
    await db.withConnection(async (connection) => {
      await expect(connection.copyFrom(sql`copy nowhere from stdin`, source())).rejects.toMatchObject({
        params: { sqlstate: '42P01' },
      })
    })
    expect(isRead).toBe(false)
  })

  it('in is stopped by a signal while its source waits', async () => {
    const abort = new AbortController()
    async function* stuck() {
      yield Buffer.from('1\tx\n')
      await new Promise((resolve) => setTimeout(resolve, 50))
      abort.abort()
      await new Promise((resolve) => setTimeout(resolve, 50))
      yield Buffer.from('2\tx\n')
    }
    await expect(
      db.withConnection((connection) => connection.copyFrom(into, stuck(), { signal: abort.signal })),
    ).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    expect(await count()).toBe(0n)
  })

  it('out that nobody reads on stops in the server', async () => {
    await db.withConnection(async (connection) => {
      const marker = sql`copy (select repeat('x', 1000) as stop_early from generate_series(1, 500000)) to stdout`
      let bytes = 0
      for await (const part of connection.copyTo(marker)) {
        bytes += part.length
        if (bytes > 100_000) break
      }
      expect((await connection.query(sql`select 1::int4`)).rows).toEqual([[1]])
    })
    expect(await isRunning('stop_early')).toBe(false)
  })

  it('out to a slow reader keeps memory flat', async () => {
    await db.withConnection(async (connection) => {
      const statement = sql`copy (select repeat('x', 1000) from generate_series(1, 200000)) to stdout`
      let bytes = 0
      let most = 0
      global.gc?.()
      const before = process.memoryUsage().arrayBuffers
      for await (const part of connection.copyTo(statement)) {
        bytes += part.length
        await new Promise((resolve) => setImmediate(resolve))
        most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      }
      expect(bytes).toBe(200_000 * 1001)
      expect(most).toBeLessThan(64 * 2 ** 20)
    })
  })

  it('in from a fast source waits for the server', async () => {
    const block = Buffer.from(`1\t${'x'.repeat(99_000)}\n`.repeat(10))
    await db.withConnection(async (connection) => {
      await connection.execute('begin; create temp table sink (n int8, t text) on commit drop')
      let most = 0
      const before = process.memoryUsage().arrayBuffers
      function* source() {
        for (let i = 0; i < 100; i += 1) {
          most = Math.max(most, process.memoryUsage().arrayBuffers - before)
          yield Buffer.from(block)
        }
      }
      expect(await connection.copyFrom(sql`copy sink from stdin`, source())).toBe(1000)
      expect(most).toBeLessThan(64 * 2 ** 20)
      await connection.execute('rollback')
    })
  })

  it('out of a statement that fails half way throws what the server says', async () => {
    const call = db.withConnection(async (connection) => {
      for await (const _ of connection.copyTo(
        sql`copy (select 1 / (5000 - n) from generate_series(1, 6000) n) to stdout`,
      ));
    })
    await expect(call).rejects.toMatchObject({ params: { sqlstate: '22012' } })
  })
})

/** A proxy that counts how often the client speaks. */
async function countingProxy(target: string) {
  const { connect } = await import('node:net')
  const url = new URL(target)
  let count = 0
  const clients = new Set<Socket>()
  const proxy = createServer((client) => {
    clients.add(client)
    const server = connect(Number(url.port || 5432), url.hostname)
    client.on('data', (bytes) => {
      count += 1
      server.write(bytes)
    })
    server.on('data', (bytes) => client.write(bytes))
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
    client.on('error', () => {})
    server.on('error', () => {})
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as { port: number }
  const through = new URL(target)
  through.hostname = '127.0.0.1'
  through.port = String(port)
  return {
    proxy,
    connectionString: through.href,
    requests: () => count,
    cutAll: () => clients.forEach((client) => void client.destroy()),
  }
}

it('raw statements are answered too', async () => {
  expect((await db.query(raw('select 1::int4 where false'))).rows).toEqual([])
})
