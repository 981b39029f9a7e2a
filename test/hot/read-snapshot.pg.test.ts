import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createHotTier, type PostgresSnapshot, withReadSnapshot } from '../../src/hot/index.ts'
import { everything, type ScanRequest } from '../../src/query/index.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { chunksFrom, createForReading, day, firstRows, hour, start } from './reading-fixture.ts'

const cpu = hypertable('read.cpu', {
  columns: { time: t.timestamptz(), host: t.text(), usage: t.float8() },
  time: 'time',
  indexes: [['host', 'time'], ['time']],
})
const hosts = table('read.hosts', { columns: { host: t.text(), rack: t.int4() }, primaryKey: ['host'] })

const rowCount = { kind: 'count', input: null, borders: null } as const
const counting: ScanRequest = {
  dataset: cpu,
  range: null,
  bucket: null,
  by: [],
  where: null,
  states: [{ spec: rowCount, ref: null, where: null }],
  maxCells: 10,
}

describe('a read snapshot', () => {
  let base: TestDatabase
  const tier = createHotTier()

  beforeAll(async () => {
    base = await createTestDatabase()
    await createForReading(base.db, cpu, chunksFrom(start, day, 3))
    await createForReading(base.db, hosts)
  })
  beforeEach(async () => {
    await base.db.execute('truncate read.cpu')
    await base.db.execute(`
      insert into read.cpu
      select timestamptz '2026-01-01Z' + i * interval '10 minutes', 'h' || i % 4, i
      from generate_series(0, 431) i`)
  })
  afterAll(() => base.drop())

  test('shows every part the same moment while others write', async () => {
    await withReadSnapshot(base.db, { timeoutMs: 10_000 }, async (snapshot) => {
      const context = { snapshot, signal: null }
      const firstDay = { from: start, to: start + day }
      const { rowsRead } = await tier.scan({ ...counting, range: firstDay }, context)
      expect(rowsRead).toBe(144)
      await base.db.execute(
        `insert into read.cpu select '2026-01-02 12:00Z', 'new', 0 from generate_series(1, 50)`,
      )
      await base.db.execute(`delete from read.cpu where time >= '2026-01-03Z'`)
      await base.db.execute(`insert into read.cpu values ('2030-01-01Z', 'far', 0)`)
      const rest = await tier.scan({ ...counting, range: { from: start + day, to: everything.to } }, context)
      expect(rest.rowsRead).toBe(288)
      const latest = await tier.latest(
        {
          kind: 'latest',
          dataset: cpu,
          range: null,
          where: null,
          limit: null,
          columns: ['host'],
          by: ['host'],
          withKeys: false,
        },
        context,
      )
      expect(latest.rows.flat().sort()).toEqual(['h0', 'h1', 'h2', 'h3'])
      expect(await tier.bounds(cpu, null, null, context)).toEqual({
        from: start,
        to: start + 3n * day - hour / 6n + 1n,
      })
    })
    const after = await withReadSnapshot(base.db, { timeoutMs: 10_000 }, (snapshot) =>
      tier.scan(counting, { snapshot, signal: null }),
    )
    expect(after.rowsRead).toBe(144 + 144 + 50 + 1)
  })

  test('cannot write, and says which moment it is', async () => {
    await withReadSnapshot(base.db, { timeoutMs: 10_000 }, async (snapshot) => {
      const { rows } = await snapshot.query(
        sql`select pg_current_snapshot(), now(), current_setting('jit')`,
        null,
      )
      expect(rows[0]![0]).toBe(snapshot.id)
      expect(snapshot.takenAt >= (rows[0]![1] as bigint)).toBe(true)
      expect(rows[0]![2]).toBe('off')
    })
    const writing = withReadSnapshot(base.db, { timeoutMs: 10_000 }, (snapshot) =>
      snapshot.query(sql`delete from read.cpu`, null),
    )
    await expect(writing).rejects.toMatchObject({ code: 'TM_DATABASE', params: { sqlstate: '25006' } })
  })

  test('keeps a tenant for its own time only', async () => {
    const tenantOf = (tenant: string | null) =>
      withReadSnapshot(base.db, { timeoutMs: 10_000, tenant }, async (snapshot) => {
        const { rows } = await snapshot.query(sql`select current_setting('tidemark.tenant', true)`, null)
        return rows[0]![0]
      })
    expect(await tenantOf(`o'neil`)).toBe(`o'neil`)
    expect((await tenantOf(null)) || null).toBeNull()
  })

  /** Statements of this database that run now, apart from the one that asks. */
  const running = async () => {
    const { rows } = await base.db.query(sql`
      select query from pg_stat_activity
      where datname = current_database() and state = 'active' and pid <> pg_backend_pid()
        and backend_type = 'client backend'`)
    return rows.flat()
  }
  const until = async (condition: () => Promise<boolean>) => {
    const deadline = Date.now() + 10_000
    while (!(await condition()))
      if (Date.now() > deadline) throw new Error('the condition did not come about in 10 s')
  }
  /** A filter that never ends by itself: a lock that another connection holds. */
  const endless = async (use: () => Promise<void>) => {
    const holder = await base.connect()
    await holder.execute('begin; lock table read.cpu in access exclusive mode')
    try {
      await use()
    } finally {
      await holder.execute('rollback')
      await holder.close()
    }
  }

  test('ends in the server too when the caller aborts', async () => {
    await endless(async () => {
      const controller = new AbortController()
      const asked = withReadSnapshot(base.db, { timeoutMs: 60_000, signal: controller.signal }, (snapshot) =>
        tier.scan(counting, { snapshot, signal: controller.signal }),
      )
      const outcome = expect(asked).rejects.toMatchObject({ code: 'TM_CANCELLED' })
      await until(async () => (await running()).length === 1)
      controller.abort()
      await outcome
      expect(await running()).toEqual([])
    })
  })

  test('ends in the server too when a signal of one call aborts', async () => {
    await endless(async () => {
      const controller = new AbortController()
      const asked = withReadSnapshot(base.db, { timeoutMs: 60_000 }, (snapshot) =>
        tier.rows(firstRows(cpu, ['host'], 5), { snapshot, signal: controller.signal }),
      )
      const outcome = expect(asked).rejects.toMatchObject({ code: 'TM_CANCELLED' })
      await until(async () => (await running()).length === 1)
      controller.abort()
      await outcome
      expect(await running()).toEqual([])
    })
  })

  test('ends at its time limit, and the server is free again', async () => {
    await endless(async () => {
      const asked = withReadSnapshot(base.db, { timeoutMs: 200 }, (snapshot) =>
        tier.scan(counting, { snapshot, signal: null }),
      )
      await expect(asked).rejects.toMatchObject({ code: 'TM_TIMEOUT', params: { limitMs: 200 } })
      expect(await running()).toEqual([])
    })
  })

  test('has one time limit for all of its statements', async () => {
    let answered = 0
    const asked = withReadSnapshot(base.db, { timeoutMs: 400 }, async (snapshot) => {
      for (; ; answered += 1) await snapshot.query(sql`select pg_sleep(0.05)`, null)
    })
    await expect(asked).rejects.toMatchObject({ code: 'TM_TIMEOUT' })
    // that take 50 ms each, however quick the machine is
    expect(answered).toBeLessThanOrEqual(400 / 50)
  })

  test('is all that the tier takes', async () => {
    const context = { snapshot: { id: '1:1:', takenAt: 0n }, signal: null }
    await expect(tier.scan(counting, context)).rejects.toMatchObject({ code: 'TM_CONFIG' })
  })

  test('opens only the chunks that a range needs', async () => {
    const plans: string[] = []
    await withReadSnapshot(base.db, { timeoutMs: 10_000 }, async (snapshot) => {
      const explaining: PostgresSnapshot = {
        ...snapshot,
        async query(statement, signal) {
          const { rows } = await snapshot.query(sql`explain ${statement}`, signal)
          plans.push(rows.flat().join('\n'))
          return snapshot.query(statement, signal)
        },
      }
      const context = { snapshot: explaining, signal: null }
      const range = { from: start + day, to: start + 2n * day }
      const bucket = { kind: 'fixed', width: hour, origin: 0n } as const
      await tier.scan({ ...counting, range, bucket, maxCells: 1000 }, context)
      const borders = [start, start + day, start + 2n * day, start + 3n * day]
      await tier.scan({ ...counting, range, bucket: { kind: 'borders', borders } }, context)
      const asked = { dataset: cpu, range, where: null, columns: ['host'] }
      await tier.rows(
        { ...asked, kind: 'rows', direction: 'asc', after: null, limit: 5, withKeys: false },
        context,
      )
      await tier.latest({ ...asked, kind: 'latest', by: ['host'], limit: null, withKeys: false }, context)
      await tier.bounds(cpu, range, null, context)
    })
    expect(plans).toHaveLength(5)
    for (const plan of plans) {
      expect(plan).toContain('cpu_c1')
      expect(plan).not.toMatch(/cpu_c0|cpu_c2|cpu_default/)
    }
  })

  test('walks chunks in order of time without sorting them', async () => {
    await withReadSnapshot(base.db, { timeoutMs: 10_000 }, async (snapshot) => {
      let plan = ''
      const explaining: PostgresSnapshot = {
        ...snapshot,
        async query(statement, signal) {
          const { rows } = await snapshot.query(
            sql`explain (analyze, timing off, costs off) ${statement}`,
            signal,
          )
          plan = rows.flat().join('\n')
          return { rows: [], columns: [], rowCount: 0 }
        },
      }
      await explaining.query(raw('select set_config($$enable_seqscan$$, $$off$$, true)'), null)
      await tier.rows(
        {
          kind: 'rows',
          dataset: cpu,
          range: { from: start, to: start + 3n * day },
          where: null,
          columns: ['host'],
          direction: 'desc',
          after: null,
          withKeys: false,
          limit: 5,
        },
        { snapshot: explaining, signal: null },
      )
      expect(plan).toMatch(/Incremental Sort[\s\S]*Append/)
      expect(plan).toMatch(/cpu_c0.*never executed/)
    })
  })

  test('knows how much the hot tier holds of a range', async () => {
    await base.db.execute('analyze read.cpu; analyze read.hosts')
    const fresh = createHotTier()
    const ask = (range: { from: bigint; to: bigint } | null, prefetch = false) =>
      withReadSnapshot(base.db, { timeoutMs: 10_000, dataset: prefetch ? cpu : null }, (snapshot) =>
        fresh.coverage(cpu, range, { snapshot, signal: null }),
      )
    expect(await ask(null)).toEqual([{ range: everything, holds: 'share', estimatedRows: 432, pieces: 3 }])
    expect(await ask(null, true)).toEqual(await ask(null))
    const half = { from: start + day / 2n, to: start + day }
    expect(await ask(half)).toEqual([{ range: half, holds: 'share', estimatedRows: 72, pieces: 1 }])
    const outside = { from: 0n, to: 5n }
    expect(await ask(outside)).toEqual([{ range: outside, holds: 'share', estimatedRows: 0, pieces: 0 }])
    await base.db.execute(`
      create table tidemark_chunks.cpu_c3 partition of read.cpu for values from ('2026-01-04Z') to ('2026-01-05Z');
      insert into tidemark.chunk (hypertable_id, range_from, range_to, relation_name)
      select id, '2026-01-04Z', '2026-01-05Z', 'cpu_c3' from tidemark.hypertable where table_name = 'cpu';
      update tidemark.hypertable set epoch = epoch + 1 where table_name = 'cpu'`)
    expect(await ask(null)).toMatchObject([{ pieces: 4 }])
    const [plain] = await withReadSnapshot(base.db, { timeoutMs: 10_000 }, (snapshot) =>
      tier.coverage(hosts, null, { snapshot, signal: null }),
    )
    expect(plain).toMatchObject({ range: everything, holds: 'all', pieces: 1 })
  })

  test('finds the ends of the rows, and of one series, by index', async () => {
    await base.db.execute(`insert into read.cpu values ('1999-01-01Z', 'early', 0)`)
    const ask = (where: ScanRequest['where'], range: { from: bigint; to: bigint } | null = null) =>
      withReadSnapshot(base.db, { timeoutMs: 10_000 }, (snapshot) =>
        tier.bounds(cpu, range, where, { snapshot, signal: null }),
      )
    const host = (value: string) =>
      ({ kind: 'compare', ref: { column: 'host', path: [] }, operator: 'eq', value }) as const
    const early = BigInt(Date.parse('1999-01-01T00:00:00Z')) * 1000n
    const last = start + 431n * (hour / 6n)
    expect(await ask(null)).toEqual({ from: early, to: last + 1n })
    expect(await ask(host('h1'))).toEqual({ from: start + hour / 6n, to: last - 2n * (hour / 6n) + 1n })
    expect(await ask(host('nobody'))).toBeNull()
    expect(await ask(host('h1'), { from: start + day, to: start + day + 1n })).toBeNull()
    const usage = { kind: 'compare', ref: { column: 'usage', path: [] }, operator: 'lt', value: 0 } as const
    expect(await ask(usage)).toEqual({ from: early, to: last + 1n })
    expect(await ask({ kind: 'or', filters: [host('h1'), usage] })).toEqual({ from: early, to: last + 1n })
  })
})
