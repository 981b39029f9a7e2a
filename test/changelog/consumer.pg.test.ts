import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  advance,
  type Consumer,
  createConsumer,
  dropConsumer,
  type Missing,
  readMissing,
  trimChangeLog,
} from '../../src/changelog/index.ts'
import type { Connection } from '../../src/postgres/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { clearLog, createTestHypertable, readings } from '../hot/create-test-hypertable.ts'
import { audit, isWaiting, shortRange, waitFor } from './helpers.ts'

let test: TestDatabase
let a: Connection & { close(): Promise<void> }
let b: Connection & { close(): Promise<void> }
let consumer: Consumer

beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
  a = await test.connect()
  b = await test.connect()
})
afterAll(() => test.drop())

beforeEach(async () => {
  await a.execute('rollback')
  await b.execute('rollback')
  // What a failed test left prepared would hold its locks for ever.
  const { rows } = await test.db.query(
    sql`select gid from pg_prepared_xacts where database = current_database()`,
  )
  for (const [gid] of rows) await a.execute(sql`rollback prepared ${gid}`)
  await test.db.execute('truncate readings; delete from tidemark.change_consumer')
  await clearLog(test.db)
  consumer = await createConsumer(test.db, 'c', readings)
  expect(await consume()).toEqual(['start-over new'])
})

const insert = (hour: number) =>
  `insert into readings values ('2026-01-01T${String(hour).padStart(2, '0')}:10Z', 't1', 's', 1)`

function describeMissing(missing: Missing): string[] {
  if (missing.kind === 'start-over') return [`start-over ${missing.reason}`]
  return missing.ranges.map(({ tenant, range }) => `${tenant ?? '*'} ${shortRange(range)}`)
}

/** Reads what is missing and moves on, as every consumer does. */
function consume(which = consumer): Promise<string[]> {
  return test.db.transaction({ mode: 'repeatable read' }, async (connection) => {
    const missing = await readMissing(connection, which)
    await advance(connection, which, missing.snapshot)
    return describeMissing(missing)
  })
}

/**
 * Transactions of other databases hold a snapshot's xmin, too: consumers move on and trimming is tried until
 * `count` entries are gone. Never more than that.
 */
async function trimmed(count: number, consumers: readonly Consumer[], batchRows?: number): Promise<void> {
  let deleted = 0
  await waitFor(`${count} entries are trimmed`, async () => {
    deleted += (await trimChangeLog(test.db, readings, { batchRows })).deleted
    if (deleted === count) return true
    expect(deleted).toBeLessThan(count)
    for (const each of consumers) expect(await consume(each)).toEqual([])
    return false
  })
}

async function entries(): Promise<bigint> {
  return (await test.db.query(sql`select count(*) from tidemark.change_log`)).rows[0]![0] as bigint
}

describe('a consumer misses nothing, and reads nothing twice', () => {
  it('whatever order transactions commit in', async () => {
    await a.execute(`begin; ${insert(1)}`)
    await b.execute(`begin; ${insert(2)}; commit`)
    expect(await consume()).toEqual(['t1 01-01T02:00 01-01T03:00'])
    // The older transaction commits after the younger one was read.
    await a.execute('commit')
    expect(await consume()).toEqual(['t1 01-01T01:00 01-01T02:00'])
    expect(await consume()).toEqual([])
  })

  it('of a transaction that was prepared long before it is committed', async () => {
    await a.execute(`begin; ${insert(3)}; prepare transaction '${test.name}'`)
    await b.execute(insert(4))
    expect(await consume()).toEqual(['t1 01-01T04:00 01-01T05:00'])
    expect(await consume()).toEqual([])
    expect((await trimChangeLog(test.db, readings)).deleted).toBe(0)
    await a.execute(`commit prepared '${test.name}'`)
    expect(await consume()).toEqual(['t1 01-01T03:00 01-01T04:00'])
  })

  it('of a transaction that was prepared and rolled back: there is nothing to read', async () => {
    await a.execute(`begin; ${insert(3)}; prepare transaction '${test.name}'`)
    await a.execute(`rollback prepared '${test.name}'`)
    expect(await consume()).toEqual([])
  })

  it('that a writer in REPEATABLE READ commits after it', async () => {
    await a.execute('begin isolation level repeatable read; select 1')
    await a.query(sql`select count(*) from readings`)
    await b.execute(insert(5))
    expect(await consume()).toEqual(['t1 01-01T05:00 01-01T06:00'])
    await a.execute(`${insert(6)}; commit`)
    expect(await consume()).toEqual(['t1 01-01T06:00 01-01T07:00'])
  })

  it('of savepoints: what was rolled back is not there, what was released is', async () => {
    await a.execute(`begin; savepoint x; ${insert(7)}; rollback to x; savepoint y; ${insert(8)}; release y`)
    expect(await consume()).toEqual([])
    await a.execute('commit')
    expect(await consume()).toEqual(['t1 01-01T08:00 01-01T09:00'])
  })

  it('that commits between its snapshot and its advance', async () => {
    await a.execute('begin isolation level repeatable read')
    const missing = await readMissing(a, consumer)
    await b.execute(insert(9))
    expect((await a.query(sql`select count(*) from readings`)).rows).toEqual([[0n]])
    await advance(a, consumer, missing.snapshot)
    await a.execute('commit')
    expect(await consume()).toEqual(['t1 01-01T09:00 01-01T10:00'])
  })

  it('that it read and then rolled back', async () => {
    await b.execute(insert(10))
    await a.execute('begin isolation level repeatable read')
    await advance(a, consumer, (await readMissing(a, consumer)).snapshot)
    await a.execute('rollback')
    expect(await consume()).toEqual(['t1 01-01T10:00 01-01T11:00'])
  })

  it('of the audit', async () => {
    await audit(test.db, readings)
    await a.execute(
      `alter table readings disable trigger user; ${insert(11)}; alter table readings enable always trigger tidemark_log_insert, enable always trigger tidemark_log_update, enable always trigger tidemark_log_delete, enable always trigger tidemark_log_truncate`,
    )
    expect(await consume()).toEqual([])
    expect(await audit(test.db, readings)).toHaveLength(1)
    expect(await consume()).toEqual(['* 01-01T11:00 01-01T12:00'])
  })
})

describe('two at the same position', () => {
  it('advance one after the other: the second fails with a serialization error', async () => {
    await b.execute(insert(1))
    for (const connection of [a, b]) await connection.execute('begin isolation level repeatable read')
    const [one, two] = [await readMissing(a, consumer), await readMissing(b, consumer)]
    await advance(a, consumer, one.snapshot)
    const second = advance(b, consumer, two.snapshot)
    second.catch(() => {})
    await waitFor('the second advance waits', () => isWaiting(test.db, b))
    await a.execute('commit')
    await expect(second).rejects.toMatchObject({ params: { sqlstate: '40001' } })
  })
})

describe('reading asks for one snapshot', () => {
  it('and refuses READ COMMITTED', async () => {
    await a.execute('begin')
    await expect(readMissing(a, consumer)).rejects.toMatchObject({ code: 'TM_MIGRATION' })
  })

  it('coalesces what it gives, and gives up tenants and gaps before it gives too much', async () => {
    for (const hour of [1, 2, 5]) await b.execute(insert(hour))
    await b.execute(`insert into readings values ('2026-01-01T20:00Z', 't2', 's', 1)`)
    const read = (maxRanges: number) =>
      test.db.transaction({ mode: 'repeatable read read only' }, async (connection) =>
        describeMissing(await readMissing(connection, consumer, { maxRanges })),
      )
    expect(await read(3)).toEqual([
      't1 01-01T01:00 01-01T03:00',
      't1 01-01T05:00 01-01T06:00',
      't2 01-01T20:00 01-01T21:00',
    ])
    expect(await read(2)).toEqual(['* 01-01T01:00 01-01T06:00', '* 01-01T20:00 01-01T21:00'])
    expect(await read(1)).toEqual(['* 01-01T01:00 01-01T21:00'])
  })
})

describe('a position of another history', () => {
  it.each([
    ['system_identifier', `'1'`, 'other-cluster'],
    ['timeline', `'000000FF'`, 'other-timeline'],
    ['database_oid', '1', 'other-database'],
  ])('(%s) makes the consumer start over, and holds the log until it has', async (column, value, reason) => {
    await b.execute(insert(1))
    await test.db.execute(`update tidemark.change_consumer set ${column} = ${value}`)
    expect(await trimChangeLog(test.db, readings)).toEqual({ deleted: 0, heldBy: ['c'] })
    expect(await consume()).toEqual([`start-over ${reason}`])
    expect(await consume()).toEqual([])
    await trimmed(1, [consumer])
  })

  it('leaves entries with numbers from the future, which a restore brought: they are not read, and trimmed', async () => {
    await test.db.execute(`
      insert into tidemark.change_log (hypertable_id, xid, range_from, range_to, source)
      select id, '9000000000', '2026-01-01Z', '2026-01-02Z', 'ingest' from tidemark.hypertable`)
    expect(await consume()).toEqual([])
    await trimmed(1, [consumer])
  })
})

describe('trimming', () => {
  it('keeps what the slowest consumer has not seen, and deletes the rest in batches', async () => {
    const slow = await createConsumer(test.db, 'slow', readings)
    await consume(slow)
    for (let hour = 0; hour < 10; hour += 1) await b.execute(insert(hour))
    await consume()
    expect((await trimChangeLog(test.db, readings)).deleted).toBe(0)
    expect(await entries()).toBe(10n)
    expect(await consume(slow)).toEqual(['t1 01-01T00:00 01-01T10:00'])
    await trimmed(10, [slow, consumer], 3)
    expect(await entries()).toBe(0n)
  })

  it('deletes nothing that a transaction in flight will commit', async () => {
    await a.execute(`begin; ${insert(1)}`)
    await b.execute(insert(2))
    await consume()
    await dropConsumer(test.db, consumer)
    await trimChangeLog(test.db, readings)
    await a.execute('commit')
    expect(await entries()).toBeGreaterThan(0n)
  })

  it('leaves what a consumer needs that registers at the same moment', async () => {
    await dropConsumer(test.db, consumer)
    // Between a trim's lock and its commit nobody registers, and the other way round.
    await a.execute('begin')
    await a.query(
      sql`select pg_advisory_xact_lock(hashtextextended('tidemark.change_consumer', (select id from tidemark.hypertable)))`,
    )
    const registering = createConsumer(test.db, 'late', readings)
    await waitFor('registering waits', async () => {
      const { rows } = await test.db.query(
        sql`select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`,
      )
      return (rows[0]![0] as bigint) > 0n
    })
    await b.execute(insert(1))
    await a.execute('delete from tidemark.change_log; commit')
    const late = await registering
    await b.execute(insert(2))
    await trimChangeLog(test.db, readings)
    const place = await test.db.query(sql`
      select count(*) from tidemark.change_log as l, tidemark.change_consumer as c
      where c.name = 'late' and not pg_visible_in_snapshot(l.xid, c.position)`)
    expect(place.rows).toEqual([[1n]])
    expect(await consume(late)).toEqual(['start-over new'])
    expect(await consume(late)).toEqual([])
  })

  it('does not make the audit take logged changes for unlogged ones', async () => {
    await audit(test.db, readings)
    await b.execute(insert(3))
    await consume()
    await trimmed(1, [consumer])
    expect(await audit(test.db, readings)).toEqual([])
    expect(await audit(test.db, readings)).toEqual([])
  })
})

describe('random interleavings', () => {
  it('of writers, savepoints, prepared transactions and a consumer lose no change', async () => {
    const fc = await import('fast-check')
    const step = fc.record({
      who: fc.constantFrom(0, 1),
      what: fc.constantFrom(
        'write',
        'commit',
        'rollback',
        'savepoint',
        'prepare',
        'finish',
        'consume',
        'trim',
      ),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        await a.execute('rollback')
        await b.execute('rollback')
        await test.db.execute('truncate readings; delete from tidemark.change_log')
        await consume()
        const writers = [
          { connection: a, open: false, prepared: null as string | null },
          { connection: b, open: false, prepared: null as string | null },
        ]
        // What the consumer knows is kept by nothing but the log: copies of the cells it was told of.
        const known = new Map<string, string>()
        let minute = 0
        const cells = `select to_char(time at time zone 'UTC', 'YYYY-MM-DD"T"HH24'), count(*) from readings`
        const look = () =>
          test.db.transaction({ mode: 'repeatable read' }, async (connection) => {
            const missing = await readMissing(connection, consumer)
            if (missing.kind !== 'ranges') throw new Error('started over')
            for (const { range } of missing.ranges) {
              const { rows } = await connection.query(
                sql`${raw(cells)} where time >= ${`${range.from}`}::int8 * interval '1 microsecond' + 'epoch'::timestamptz and time < ${`${range.to}`}::int8 * interval '1 microsecond' + 'epoch'::timestamptz group by 1`,
              )
              for (const [cell, count] of rows) known.set(cell as string, String(count))
            }
            await advance(connection, consumer, missing.snapshot)
            const { rows } = await connection.query(sql`${raw(cells)} group by 1`)
            expect(Object.fromEntries(known)).toEqual(
              Object.fromEntries(rows.map(([cell, count]) => [cell, String(count)])),
            )
          })
        for (const { who, what } of steps) {
          const writer = writers[who]!
          const { connection } = writer
          if (what === 'consume') await look()
          else if (what === 'trim') await trimChangeLog(test.db, readings)
          else if (what === 'finish') {
            if (writer.prepared !== null && !writer.open) {
              await connection.execute(`commit prepared '${writer.prepared}'`)
              writer.prepared = null
            }
          } else if (what === 'write' || what === 'savepoint') {
            if (!writer.open) await connection.execute('begin')
            writer.open = true
            minute += 1
            const write = `insert into readings values (timestamptz '2026-01-01Z' + ${minute % 6} * interval '1 hour' + ${minute} * interval '1 millisecond', 't1', 's', 1)`
            await connection.execute(
              what === 'write' ? write : `savepoint s; ${write}; rollback to s; ${write}; release s`,
            )
          } else if (writer.open) {
            if (what === 'prepare') {
              if (writer.prepared !== null) continue
              writer.prepared = `${test.name}_${who}`
              await connection.execute(`prepare transaction '${writer.prepared}'`)
            } else await connection.execute(what)
            writer.open = false
          }
        }
        for (const { connection, open, prepared } of writers) {
          if (open) await connection.execute('commit')
          if (prepared !== null) await connection.execute(`commit prepared '${prepared}'`)
        }
        await look()
      }),
      { numRuns: 40 },
    )
  })
})
