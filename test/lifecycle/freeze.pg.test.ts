import { afterEach, beforeEach, expect, it } from 'vitest'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { clearLog, readLog } from '../hot/create-test-hypertable.ts'
import { createFixture, day, epochOf, type Fixture, readings, samples, seen, states } from './fixture.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(readings, samples)
})
afterEach(() => fixture.drop())

it('a frozen chunk has its rows in the lake, each once, and nothing is logged', async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-02', 2, 'x')])
  await clearLog(test.db)
  const epoch = await epochOf(test.db)
  const stages: string[] = []
  const moved = await lifecycle.freeze(
    samples,
    { olderThan: parseInstant('2026-01-02T00:00:00Z') },
    { onProgress: ({ stage }) => stages.push(stage) },
  )
  expect(moved).toMatchObject({ chunks: 1, rows: 3, taken: [], failed: [] })
  expect(stages.at(-1)).toBe('done')
  expect(await states(test.db)).toEqual(['cold 1', 'hot 0'])
  expect(await seen(fixture, test.db, samples)).toEqual(['C s0', 'C s1', 'C s2', 'H x0', 'H x1'])
  expect(await readLog(test.db, samples)).toEqual([])
  expect(await epochOf(test.db)).toBe(epoch + 1n)
  expect((await lifecycle.verify([samples])).problems).toEqual([])
})

it('rows that come after the snapshot of the export stay in PostgreSQL', async () => {
  const { test, writer, files, another } = fixture
  await writer.insert(samples, day('2026-01-01'))
  const lifecycle = another({
    files: {
      ...files,
      async write(request) {
        const file = await files.write(request)
        await writer.insert(samples, day('2026-01-01', 1, 'late'))
        return file
      },
    },
  })
  expect(await lifecycle.freeze(samples)).toMatchObject({ chunks: 1, rows: 3 })
  expect(await seen(fixture, test.db, samples)).toEqual(['C s0', 'C s1', 'C s2', 'H late0'])
})

it.each([
  ['an update', `update samples set value = 9 where sensor = 's1'`],
  ['a delete', `delete from samples where sensor = 's1'`],
  [
    'an update that no trigger saw',
    `alter table tidemark_chunks.samples_c1 disable trigger all;
     update tidemark_chunks.samples_c1 set value = 9 where sensor = 's1';
     alter table tidemark_chunks.samples_c1 enable always trigger tidemark_log_partition`,
  ],
  [
    'a delete and an insert',
    `delete from samples where sensor = 's1'; insert into samples values ('2026-01-01 05:00', 't1', 's9', 1)`,
  ],
])('%s between export and flip has the chunk exported again', async (_, script) => {
  const { test, writer, files, another } = fixture
  await writer.insert(samples, day('2026-01-01'))
  let writes = 0
  const lifecycle = another({
    files: {
      ...files,
      async write(request) {
        const file = await files.write(request)
        if (writes++ === 0) await test.db.execute(script)
        return file
      },
    },
  })
  expect(await lifecycle.freeze(samples)).toMatchObject({ chunks: 1 })
  expect(writes).toBe(2)
  const all = await seen(fixture, test.db, samples)
  expect(all).toEqual(
    script.includes('delete') && !script.includes('insert')
      ? ['C s0', 'C s2']
      : script.includes('s9')
        ? ['C s0', 'C s2', 'C s9']
        : ['C s0', 'C s1', 'C s2'],
  )
  const { rows } = await test.db.query(sql`select reason from tidemark.lake_trash`)
  expect(rows).toEqual([['cancelled']])
})

/** A lifecycle during whose exports a row of the chunk is changed; what became of those changes that had to wait. */
function changing(settings: { readonly exports: number }) {
  const { test, files, another } = fixture
  const changes = { count: 0, waiting: [] as Promise<unknown>[] }
  const lifecycle = another({
    settings,
    files: {
      ...files,
      async write(request) {
        changes.count += 1
        const change = test.db.query(sql`
          update samples set value = ${changes.count}::float8
          where sensor = 's1' and time >= '2026-01-01' and time < '2026-01-02'`)
        if (changes.count <= settings.exports) await change
        // Now it waits for the lock, and finds a guard when it has it.
        else changes.waiting.push(change.then(() => 'updated').catch((error: Error) => error.message))
        return files.write(request)
      },
    },
  })
  return { lifecycle, changes }
}

it('a chunk that is changed during every export stays where it is, and nobody waits for it', async () => {
  const { test, writer } = fixture
  await writer.insert(samples, day('2026-01-01'))
  const { lifecycle, changes } = changing({ exports: 2 })
  await expect(lifecycle.freeze(samples)).rejects.toMatchObject({
    code: 'TM_BUSY',
    message: expect.stringContaining('still being changed'),
  })
  expect(changes).toEqual({ count: 2, waiting: [] })
  expect(await states(test.db)).toEqual(['hot 0'])
  expect(await seen(fixture, test.db, samples)).toEqual(['H s0', 'H s1', 'H s2'])
})

it('the policy lets such a chunk rest for a while, and comes back when it is quiet', async () => {
  const { test, writer, clock, another } = fixture
  await writer.insert(samples, day('2026-01-01'))
  // twice as old as freeze.after: it would not wait for a quiet moment
  clock.set(parseInstant('2026-01-20T00:00:00Z'))
  const { lifecycle, changes } = changing({ exports: 2 })
  await expect(lifecycle.freezeDue(samples)).rejects.toMatchObject({ code: 'TM_BUSY' })
  expect(await lifecycle.freezeDue(samples)).toMatchObject({ chunks: 0, waiting: 1 })
  expect(changes.count).toBe(2)
  const eager = another({ settings: { restlessMs: 0 } })
  expect(await eager.freezeDue(samples)).toMatchObject({ chunks: 1, rows: 3 })
  await eager.thaw(samples)
  await expect(changing({ exports: 1 }).lifecycle.freezeDue(samples)).rejects.toMatchObject({
    code: 'TM_BUSY',
  })
  await clearLog(test.db)
  expect(await another().freezeDue(samples)).toMatchObject({ chunks: 1, rows: 3 })
})

it('with blockWriters it is exported under the lock in the end', async () => {
  const { test, writer } = fixture
  await writer.insert(samples, day('2026-01-01'))
  const { lifecycle, changes } = changing({ exports: 2 })
  expect(await lifecycle.freeze(samples, {}, { blockWriters: true })).toMatchObject({ chunks: 1, rows: 3 })
  expect(changes.count).toBe(3)
  expect(await changes.waiting[0]).toContain('TM_COLD')
  expect(await seen(fixture, test.db, samples)).toEqual(['C s0', 'C s1', 'C s2'])
})

it('a row of a transaction that was under way is never left behind, with savepoints or without', async () => {
  const { test, writer, another } = fixture
  const lifecycle = another({ settings: { lockTries: 2 } })
  await writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-02')])
  await lifecycle.freeze(samples, { from: parseInstant('2026-01-02T00:00:00Z') })
  const other = await test.connect()
  // From here on the table has its guard. The time is given: the other chunk is cold.
  await other.execute(`
    begin;
    savepoint a;
    update samples set value = 5 where sensor = 's1' and time >= '2026-01-01' and time < '2026-01-02';
    release savepoint a`)
  const younger = await test.connect()
  await younger.execute(`insert into samples values ('2026-01-01 09:00', 't1', 'younger', 1)`)
  const first = { olderThan: parseInstant('2026-01-02T00:00:00Z') }
  await expect(lifecycle.freeze(samples, first)).rejects.toMatchObject({ code: 'TM_BUSY' })
  const { rows } = await test.db.query(
    sql`select state, move_error, move_failures from tidemark.chunk order by id limit 1`,
  )
  expect(rows).toEqual([['hot', expect.stringContaining('moving chunk'), 1]])
  await other.execute('commit')
  expect(await lifecycle.freeze(samples, first)).toMatchObject({ chunks: 1, rows: 4 })
  const cold = (await seen(fixture, test.db, samples)).filter((each) => each.startsWith('C'))
  expect(cold).toEqual(['C s0', 'C s0', 'C s1', 'C s1', 'C s2', 'C s2', 'C younger'])
})

it('rows that are younger than a transaction which still runs are moved, and writers do not wait for the export', async () => {
  const { test, writer, files, another } = fixture
  await test.db.execute('create table elsewhere (n int)')
  const other = await test.connect()
  await other.execute('begin; insert into elsewhere values (1)')
  await writer.insert(samples, day('2026-01-01'))
  let writes = 0
  const lifecycle = another({
    files: {
      ...files,
      async write(request) {
        const file = await files.write(request)
        writes += 1
        await writer.insert(samples, day('2026-01-01', 1, `late${writes}-`))
        // As many rows as there were, and not the same ones.
        if (writes === 1)
          await test.db.execute(`
          begin; savepoint a; update samples set value = 9 where sensor = 's1'; release savepoint a; commit`)
        return file
      },
    },
  })
  expect(await lifecycle.freeze(samples)).toMatchObject({ chunks: 1, rows: 4 })
  expect(writes).toBe(2)
  expect(await seen(fixture, test.db, samples)).toEqual(['C late1-0', 'C s0', 'C s1', 'C s2', 'H late2-0'])
  await other.execute('commit')
})

it('two freezers at once freeze a chunk once', async () => {
  const { test, writer, lifecycle, another } = fixture
  for (const date of ['2026-01-01', '2026-01-02', '2026-01-03', '2026-01-04'])
    await writer.insert(samples, day(date))
  const runs = await Promise.all([
    lifecycle.freeze(samples),
    another().freeze(samples),
    another().freeze(samples),
  ])
  expect(runs.reduce((sum, run) => sum + run.rows, 0)).toBe(12)
  expect(runs.flatMap((run) => run.failed)).toEqual([])
  expect(await states(test.db)).toEqual(['cold 1', 'cold 1', 'cold 1', 'cold 1'])
})

it('a freezer whose lease ran out does no harm to the one that took over', async () => {
  const { test, writer, files, another } = fixture
  await writer.insert(samples, day('2026-01-01'))
  const slow = another({
    files: {
      ...files,
      async write(request) {
        const file = await files.write(request)
        await test.db.execute(`update tidemark.chunk set lease_until = now() - interval '1 second'`)
        expect(await another().freeze(samples)).toMatchObject({ chunks: 1, rows: 3 })
        return file
      },
    },
  })
  await expect(slow.freeze(samples)).rejects.toMatchObject({ code: 'TM_BUSY' })
  expect(await seen(fixture, test.db, samples)).toEqual(['C s0', 'C s1', 'C s2'])
})

it.each([
  [
    'a foreign key that points at it',
    `create table note (tenant text, sensor text, time timestamptz, foreign key (tenant, sensor, time) references readings)`,
    'note_tenant_sensor_time_fkey',
  ],
  [
    'a foreign key of its own',
    `create table tenant (id text primary key); insert into tenant values ('t1');
     alter table readings add constraint of_tenant foreign key (tenant) references tenant`,
    'of_tenant',
  ],
  ['a column that is not declared', 'alter table readings add column note text', 'note'],
  ['a rule', 'create rule quiet as on delete to tidemark_chunks.readings_c1 do instead nothing', 'quiet'],
])('%s has the freeze refused by its name', async (_, script, name) => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(readings, day('2026-01-01'))
  await test.db.execute(script)
  await expect(lifecycle.freeze(readings)).rejects.toMatchObject({
    code: 'TM_MIGRATION',
    message: expect.stringContaining(name),
  })
  expect(await states(test.db)).toEqual(['hot 0'])
})

it('a partition that somebody detached by hand is not frozen, and the catalog says why', async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(samples, day('2026-01-01'))
  await test.db.execute('alter table samples detach partition tidemark_chunks.samples_c1')
  await expect(lifecycle.freeze(samples)).rejects.toMatchObject({
    code: 'TM_MIGRATION',
    message: expect.stringContaining('detached by hand'),
  })
  const { rows } = await test.db.query(sql`
    select state, move_error like '%not attached%', lease_owner from tidemark.chunk`)
  expect(rows).toEqual([['hot', true, null]])
  const { rows: left } = await test.db.query(sql`select count(*) from tidemark_chunks.samples_c1`)
  expect(left).toEqual([[3n]])
})

it("triggers of the user's do not take the move for a deletion, and are as they were afterwards", async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(samples, day('2026-01-01'))
  await test.db.execute(`
    create table gone (sensor text);
    create function note_gone() returns trigger language plpgsql as
      $$ begin insert into gone values (old.sensor); return null; end $$;
    create trigger on_delete after delete on samples for each row execute function note_gone();
    alter table tidemark_chunks.samples_c1 enable always trigger on_delete`)
  expect(await lifecycle.freeze(samples)).toMatchObject({ rows: 3 })
  const { rows } = await test.db.query(sql`
    select (select count(*) from gone), tgenabled::text
    from pg_trigger where tgname = 'on_delete' and tgrelid = 'tidemark_chunks.samples_c1'::regclass`)
  expect(rows).toEqual([[0n, 'A']])
})

it('append-only tables can be frozen and thawed', async () => {
  const { test, writer, lifecycle } = fixture
  await test.db.execute(`update tidemark.hypertable set append_only = true where table_name = 'samples'`)
  await writer.insert(samples, day('2026-01-01'))
  await test.db.execute(`
    create trigger tidemark_append_only before update or delete or truncate on tidemark_chunks.samples_c1
    for each statement execute function tidemark.refuse_change('public.samples')`)
  expect(await lifecycle.freeze(samples)).toMatchObject({ rows: 3 })
  expect(await lifecycle.thaw(samples)).toMatchObject({ rows: 3 })
  expect(await seen(fixture, test.db, samples)).toEqual(['H s0', 'H s1', 'H s2'])
})
