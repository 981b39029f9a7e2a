import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Operation, StoredChunk } from '../../src/client/index.ts'
import { sql } from '../../src/util/sql.ts'
import { type OperationsWorld, openWorld, requests, rowsOf } from './world.ts'

let world: OperationsWorld
beforeAll(async () => {
  world = await openWorld()
  const { tm } = world.engine
  // past the retention, twice as old as it has to be for the lake, old enough for it, and young
  for (const day of ['2026-01-05', '2026-02-10', '2026-03-01', '2026-03-09'])
    await tm.insert(requests, rowsOf(day, 200))
})
afterAll(() => world?.close())

async function chunks(): Promise<readonly StoredChunk[]> {
  const { datasets } = await world.client.operations.storage()
  return datasets.find(({ name }) => name === 'metrics.requests')!.chunks
}
async function chunkOf(day: string): Promise<StoredChunk> {
  return (await chunks()).find(({ from }) => from === `${day}T00:00:00Z`)!
}
async function ended(begun: Operation): Promise<Operation> {
  await expect
    .poll(async () => (await world.client.operations.get(begun.id)).state, { interval: 50 })
    .not.toBe('running')
  return world.client.operations.get(begun.id)
}

describe('what will be done with a chunk', () => {
  it('is told with its time, and with what it waits for when that is over', async () => {
    const young = await chunkOf('2026-03-09')
    expect(young).toMatchObject({
      state: 'hot',
      isMoving: false,
      next: { act: 'freeze', at: '2026-03-17T00:00:00Z', waitsFor: null },
    })
    const written = await chunkOf('2026-03-01')
    expect(written.next).toMatchObject({ act: 'freeze', at: '2026-03-09T00:00:00Z' })
    expect(written.next!.waitsFor).toMatch(/^it was written to at .* nobody has written to it for 10 minutes/)
    // so old that nobody's writing is waited for
    const old = await chunkOf('2026-02-10')
    expect(old.next).toMatchObject({
      act: 'freeze',
      waitsFor: expect.stringMatching(/^no worker has run yet: start `tidemark worker`/),
    })
  })

  it('is told with the continuous aggregate that retention waits for', async () => {
    const { tm } = world.engine
    const expired = await chunkOf('2026-01-05')
    expect(expired.next).toMatchObject({ act: 'freeze', at: '2026-01-13T00:00:00Z' })
    // in the lake retention is what comes next
    await tm.freeze('metrics.requests', { chunk: BigInt(expired.id) })
    const frozen = await chunkOf('2026-01-05')
    expect(frozen).toMatchObject({ state: 'cold', rows: 200, hotRows: 0, files: 1, error: null })
    expect(frozen.bytesBefore).toBeGreaterThan(frozen.coldBytes)
    expect(frozen.next).toEqual({
      act: 'drop',
      at: '2026-03-07T00:00:00Z',
      waitsFor: 'metrics.hourly has not been refreshed yet',
    })
    await tm.refresh('metrics.hourly')
    expect((await chunkOf('2026-01-05')).next).toMatchObject({
      waitsFor: expect.stringMatching(/^no worker/),
    })
  })

  it('is told with the error of the last try', async () => {
    const { db } = world.engine.test
    const { id } = await chunkOf('2026-02-10')
    await db.query(sql`
      update tidemark.chunk set move_error = 'the disk is full', move_failed_at = now(), move_failures = 3
      where id = ${id}::int8`)
    expect(await chunkOf('2026-02-10')).toMatchObject({
      error: 'the disk is full',
      failures: 3,
      next: {
        waitsFor: expect.stringMatching(/written to at|the last try failed \(3 in a row\): the disk is full/),
      },
    })
    await db.query(sql`
      update tidemark.chunk set move_error = null, move_failed_at = null, move_failures = 0
      where id = ${id}::int8`)
  })
})

describe('an operation', () => {
  it('goes on in the background, says how far it is and what it came to, and is in the audit log', async () => {
    const { operations } = world.client
    // what a connection has counted PostgreSQL is told a little later; told after the move it would count twice
    await expect.poll(() => chunkOf('2026-02-10')).toMatchObject({ hotRows: 200 })
    const { id } = await chunkOf('2026-02-10')
    const begun = await operations.start({ kind: 'freeze', dataset: 'metrics.requests', chunks: [id] })
    expect(begun).toMatchObject({
      kind: 'freeze',
      dataset: 'metrics.requests',
      state: 'running',
      chunks: [id],
    })
    const done = await ended(begun)
    expect(done).toMatchObject({
      state: 'done',
      error: null,
      by: 'anonymous',
      progress: { done: 1, total: 1, unit: 'chunks' },
      report: { text: '1 chunk moved, 200 rows', chunks: 1, rows: 200, failed: [], taken: [] },
    })
    expect((await chunkOf('2026-02-10')).state).toBe('cold')
    expect((await operations.list())[0]).toEqual(done)
    const [entry] = await world.engine.tm.access.audit.list({ tenant: { kind: 'all' } }, { act: 'freeze' })
    expect(entry).toMatchObject({
      actor: 'anonymous',
      subject: 'metrics.requests',
      outcome: 'done',
      detail: { operation: begun.id, begun: true, chunks: [id] },
    })
  })

  it('puts late rows into the lake, chunk by chunk', async () => {
    const { client, engine } = world
    const { id } = await chunkOf('2026-02-10')
    await engine.tm.insert(requests, rowsOf('2026-02-10', 7, 'late'))
    await expect
      .poll(() => chunkOf('2026-02-10'))
      .toMatchObject({ state: 'delta', rows: 207, hotRows: 7, files: 1, next: { act: 'drop' } })
    const compacted = await ended(
      await client.operations.start({ kind: 'compact', dataset: 'metrics.requests', chunks: [id] }),
    )
    expect(compacted).toMatchObject({ state: 'done', report: { chunks: 1, rows: 207 } })
    await expect.poll(() => chunkOf('2026-02-10')).toMatchObject({ state: 'cold', rows: 207, files: 1 })
  })

  it('verifies the files of chunks, takes chunks back, and sweeps', async () => {
    const { operations } = world.client
    const { id } = await chunkOf('2026-02-10')
    const verified = await ended(
      await operations.start({ kind: 'verify', dataset: 'metrics.requests', chunks: [id] }),
    )
    expect(verified).toMatchObject({
      state: 'done',
      progress: { done: 1, total: 1, unit: 'files' },
      report: { files: 1, rows: 207, problems: [] },
    })
    const all = await ended(await operations.start({ kind: 'verify' }))
    expect(all.report).toMatchObject({ files: 2, rows: 407, problems: [] })
    const thawed = await ended(
      await operations.start({ kind: 'thaw', dataset: 'metrics.requests', chunks: [id] }),
    )
    expect(thawed).toMatchObject({ state: 'done', report: { chunks: 1, rows: 207 } })
    expect(await chunkOf('2026-02-10')).toMatchObject({ state: 'hot', files: 0 })
    // of PostgreSQL's statistics, which come a little later
    await expect.poll(async () => (await chunkOf('2026-02-10')).hotRows).toBe(207)
    const swept = await ended(await operations.start({ kind: 'sweep' }))
    expect(swept).toMatchObject({ state: 'done', dataset: null, report: { removed: 0, kept: 2 } })
    const refreshed = await ended(
      await operations.start({
        kind: 'refresh',
        dataset: 'metrics.hourly',
        from: '2026-03-01',
        to: '2026-03-02',
      }),
    )
    expect(refreshed).toMatchObject({
      state: 'done',
      progress: { unit: 'percent' },
      report: { rows: 200, cells: 4 },
    })
  })

  it('that fails says why, and so does the audit log', async () => {
    const { client, engine } = world
    const { id } = await chunkOf('2026-03-01')
    const { rows } = await engine.test.db.query(
      sql`select relation_name from tidemark.chunk where id = ${id}::int8`,
    )
    await engine.test.db.execute(`
      create table refers (at timestamptz, model text);
      create rule keep as on delete to tidemark_chunks."${rows[0]![0] as string}" do also nothing`)
    const failed = await ended(
      await client.operations.start({ kind: 'freeze', dataset: 'metrics.requests', chunks: [id] }),
    )
    expect(failed).toMatchObject({
      state: 'failed',
      report: null,
      error: { code: 'TM_MIGRATION', message: expect.stringContaining('rule') },
    })
    expect((await chunkOf('2026-03-01')).next!.waitsFor).toEqual(expect.any(String))
    const [entry] = await engine.tm.access.audit.list({ tenant: { kind: 'all' } }, { act: 'freeze' })
    expect(entry).toMatchObject({ outcome: 'failed', detail: { operation: failed.id, code: 'TM_MIGRATION' } })
    await engine.test.db.execute(`drop rule keep on tidemark_chunks."${rows[0]![0] as string}"`)
  })

  it('is cancelled: what is done by then stays, and the same cannot be begun twice', async () => {
    const { client, engine } = world
    // whoever holds the chunk's row keeps every mover waiting
    let release = (): void => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const { id } = await chunkOf('2026-03-01')
    let isHeld = (): void => {}
    const holding = new Promise<void>((resolve) => {
      isHeld = resolve
    })
    const locked = engine.test.db.transaction({}, async (connection) => {
      await connection.query(sql`select from tidemark.chunk where id = ${id}::int8 for update`)
      isHeld()
      await held
    })
    await holding
    const request = { kind: 'freeze', dataset: 'metrics.requests', chunks: [id] } as const
    const begun = await client.operations.start(request)
    await expect(client.operations.start(request)).rejects.toMatchObject({
      code: 'TM_BUSY',
      message: expect.stringContaining(begun.id),
    })
    const cancelled = client.operations.cancel(begun.id)
    release()
    await locked
    await cancelled
    expect(await ended(begun)).toMatchObject({ state: 'cancelled', endedAt: expect.any(String) })
    expect((await chunkOf('2026-03-01')).state).toBe('hot')
    // nothing of one that has ended changes
    expect(await client.operations.cancel(begun.id)).toEqual(await client.operations.get(begun.id))
  })

  it.each([
    [{ kind: 'melt' }, 'kind: must be one of freeze'],
    [{ kind: 'freeze' }, 'dataset: is missing'],
    [{ kind: 'freeze', dataset: 'models' }, 'dataset: public.models is a plain table'],
    [{ kind: 'freeze', dataset: 'metrics.requests', chunks: [] }, 'chunks: must be a list of 1 to 1000'],
    [{ kind: 'freeze', dataset: 'metrics.requests', chunks: ['99999'] }, 'has no chunk 99999'],
    [{ kind: 'freeze', dataset: 'metrics.requests', from: 'never' }, 'from: '],
    [{ kind: 'thaw', dataset: 'metrics.requests' }, 'chunks: is missing'],
    [{ kind: 'refresh', dataset: 'metrics.requests' }, 'is no continuous aggregate'],
    [{ kind: 'refresh', dataset: 'metrics.hourly', from: 'never' }, 'from: '],
    [{ kind: 'sweep', dataset: 'metrics.requests' }, 'does not belong here'],
    [{ kind: 'verify', chunks: ['1'] }, 'dataset: is missing'],
    [{ kind: 'verify', wrong: 1 }, 'wrong: is not known here'],
  ])('is not begun by %j', async (request, message) => {
    await expect(world.client.operations.start(request as never)).rejects.toMatchObject({
      code: 'TM_QUERY',
      message: expect.stringContaining(message),
    })
  })

  it('that nobody knows is not found', async () => {
    await expect(world.client.operations.get('nope')).rejects.toMatchObject({
      code: 'TM_NOT_FOUND',
      status: 404,
    })
  })
})

describe('growth of storage', () => {
  it('is sampled by the worker, once for each half hour, and thinned to days', async () => {
    const { client, engine } = world
    const { db } = engine.test
    await db.query(sql`
      insert into tidemark.storage_sample (dataset, at, hot_rows, hot_bytes, cold_rows, cold_bytes)
      select 'metrics.requests', at, 1, 2, 3, 4
      from generate_series(
        date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' - interval '33 days',
        now() - interval '1 hour',
        interval '1 hour'
      ) as at`)
    const job = { name: 'sample-storage' }
    const run = async () =>
      (await engine.tm.createWorker().runOnce({ force: true })).find(({ name }) => name === job.name)
    expect(await run()).toMatchObject({ error: null, result: { datasets: 2 } })
    expect(await run()).toMatchObject({ error: null, result: { datasets: 0, forgotten: 0 } })
    const { samples } = await client.operations.growth({ dataset: 'metrics.requests' })
    expect(samples.at(-1)).toMatchObject({
      dataset: 'metrics.requests',
      // the worker has dropped what was past the retention, and frozen what was due
      coldRows: 207,
      hotRows: expect.any(Number),
    })
    const isOld = ({ at }: { readonly at: string }): boolean => Date.parse(at) < Date.now() - 30 * 86_400_000
    // of days that are over for a month the first sample of each, of younger ones every hour
    const old = samples.filter(isOld).map(({ at }) => at)
    expect(old.length).toBeGreaterThanOrEqual(3)
    expect(old.filter((at) => !at.endsWith('T00:00:00Z'))).toEqual([])
    expect(samples.filter((sample) => !isOld(sample)).length).toBeGreaterThan(29 * 24)
    const all = await client.operations.growth()
    expect(new Set(all.samples.map(({ dataset }) => dataset))).toEqual(
      new Set(['metrics.requests', 'public.models']),
    )
    const none = await client.operations.growth({ from: '2020-01-01', to: '2020-02-01' })
    expect(none.samples).toEqual([])
    await expect(client.operations.growth({ from: 'never' })).rejects.toMatchObject({ code: 'TM_QUERY' })
  })
})
