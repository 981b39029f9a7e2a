import { readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { isFilePath, type ObjectStore } from '../../src/lake/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createFixture, day, type Fixture, readings, samples, seen, states } from './fixture.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(readings, samples)
  await fixture.writer.insert(samples, day('2026-01-01'))
})
afterEach(() => fixture.drop())

const soon = { keepDroppedMs: 0, keepStrayMs: 0 }

async function filesIn(store: ObjectStore): Promise<string[]> {
  const paths: string[] = []
  for await (const { path } of store.list('')) if (isFilePath(path)) paths.push(path)
  return paths
}

it('a file stays for as long as a snapshot names it, and for its time after that', async () => {
  const { test, lifecycle, another, store } = fixture
  await lifecycle.freeze(samples)
  const reader = await test.connect()
  await reader.execute('begin isolation level repeatable read; select 1 from samples')
  await lifecycle.thaw(samples)
  const held = await another({ settings: soon }).sweep()
  expect(held).toMatchObject({ removed: 0, kept: 1, held: expect.stringContaining('has an older snapshot') })
  expect(await seen(fixture, reader, samples)).toEqual(['C s0', 'C s1', 'C s2'])
  await reader.execute('commit')
  // Nobody needs it; still it is not seven days old.
  expect(await lifecycle.sweep()).toMatchObject({ removed: 0, kept: 1, held: null })
  // Snapshots of other databases do not matter, those of this one are gone.
  await expect.poll(() => another({ settings: soon }).sweep()).toMatchObject({ removed: 1, kept: 0 })
  expect(await filesIn(store)).toEqual([])
})

it('a file that no catalog names goes when it is old, one that was just written does not', async () => {
  const { lifecycle, another, store, dir, test } = fixture
  await lifecycle.freeze(samples)
  const [old, young] = [1, 2].map(
    (n) => `public.samples/x/${String(n).repeat(8)}-0000-4000-8000-000000000000.parquet`,
  )
  // not of a form that we give to a file: somebody else's
  const foreign = 'public.samples/x/report.parquet'
  const past = new Date(Date.now() - 2 * 86_400_000)
  for (const path of [old!, young!, foreign]) {
    const local = await store.temporaryFile()
    await writeFile(local, path)
    await store.put(local, path, null)
    if (path !== young) await utimes(join(dir, path), past, past)
  }
  await writeFile(await store.temporaryFile(), 'half')
  const [half] = await readdir(join(dir, 'tmp'))
  await utimes(join(dir, 'tmp', half!), past, past)
  expect((await lifecycle.verify([samples])).problems.map(({ kind }) => kind)).toEqual(['stray', 'stray'])
  expect(await lifecycle.sweep()).toMatchObject({ strays: 1, removed: 1 })
  expect(await filesIn(store)).not.toContain(old)
  expect(await filesIn(store)).toContain(young)
  expect(await store.stat(foreign)).not.toBeNull()
  expect(await readdir(join(dir, 'tmp'))).toEqual([])
  // Whatever its age, what the catalog names stays.
  await another({ settings: soon }).sweep()
  expect(await seen(fixture, test.db, samples)).toEqual(['C s0', 'C s1', 'C s2'])
})

it('a file that was swept while its writer slept never comes into the catalog', async () => {
  const { test, files, another, writer } = fixture
  let writes = 0
  const sleepy = another({
    files: {
      ...files,
      async write(request) {
        const file = await files.write(request)
        writes += 1
        return file
      },
    },
    db: {
      ...bindAll(test.db),
      async query(statement, options) {
        const answer = await test.db.query(statement, options)
        const text = statement.parts.map((part) => (part.kind === 'text' ? part.text : '')).join('')
        // Just noted; before the flip.
        if (writes === 1 && text.includes('insert into tidemark.lake_trash'))
          await another({ settings: soon }).sweep()
        return answer
      },
    },
  })
  await expect(sleepy.freeze(samples)).rejects.toMatchObject({
    code: 'TM_LAKE',
    message: expect.stringContaining('swept'),
  })
  expect(await states(test.db)).toEqual(['hot 0'])
  await writer.insert(samples, day('2026-01-02', 1, 'x'))
  expect(await seen(fixture, test.db, samples)).toEqual(['H s0', 'H s1', 'H s2', 'H x0'])
})

it('a file whose sweep died before it came to the row never comes into the catalog either', async () => {
  const { test, files, another, store } = fixture
  const dying = another({
    settings: soon,
    store: {
      ...store,
      async remove(path) {
        await store.remove(path)
        throw new Error('killed')
      },
    },
  })
  let isWritten = false
  let died = ''
  const sleepy = another({
    files: {
      ...files,
      async write(request) {
        const file = await files.write(request)
        isWritten = true
        return file
      },
    },
    db: {
      ...bindAll(test.db),
      async query(statement, options) {
        const answer = await test.db.query(statement, options)
        const text = statement.parts.map((part) => (part.kind === 'text' ? part.text : '')).join('')
        if (isWritten && died === '' && text.includes('insert into tidemark.lake_trash'))
          died = await dying.sweep().then(String, (error: Error) => error.message)
        return answer
      },
    },
  })
  await expect(sleepy.freeze(samples)).rejects.toMatchObject({
    code: 'TM_LAKE',
    message: expect.stringContaining('swept'),
  })
  expect(died).toBe('killed')
  expect(await states(test.db)).toEqual(['hot 0'])
  expect(await seen(fixture, test.db, samples)).toEqual(['H s0', 'H s1', 'H s2'])
})

it('a file that comes to be named while a sweep notes it as a stray stays, and the note does not', async () => {
  const { test, another } = fixture
  let sweeping: Promise<unknown> | null = null
  const busy = another({
    db: {
      ...bindAll(test.db),
      transaction: (options, use) =>
        test.db.transaction(options, async (connection) => {
          const result = await use(connection)
          const { rows } = await connection.query(sql`
            select count(*) from tidemark.lake_file as f where f.created_xid = pg_current_xact_id_if_assigned()`)
          if (rows[0]![0] === 0n) return result
          // Its note is taken away and the file is named, both not yet committed.
          sweeping = another({ settings: soon }).sweep()
          await expect
            .poll(
              async () =>
                (
                  await test.db.query(sql`
                    select count(*) from pg_stat_activity
                    where datname = current_database() and ${connection.processId}::int4 = any (pg_blocking_pids(pid))`)
                ).rows[0]![0],
              { timeout: 20_000 },
            )
            .toBe(1n)
          return result
        }),
    },
  })
  expect(await busy.freeze(samples)).toMatchObject({ chunks: 1 })
  expect(await sweeping).toMatchObject({ strays: 1, removed: 0, kept: 0 })
  expect((await busy.verify([samples], { content: true })).problems).toEqual([])
  expect(await seen(fixture, test.db, samples)).toEqual(['C s0', 'C s1', 'C s2'])
})

it("two databases that share a lake do not take each other's files for nobody's", async () => {
  const other = await createFixture(samples)
  try {
    await other.writer.insert(samples, day('2026-01-01'))
    // it never sweeps
    const neighbour = other.another({ store: fixture.store, files: fixture.files })
    await neighbour.freeze(samples)
    await fixture.lifecycle.freeze(samples)
    const mine = fixture.another({ settings: soon })
    expect(await mine.sweep()).toMatchObject({
      removed: 0,
      held: expect.stringContaining('another database'),
    })
    const { problems } = await neighbour.verify([samples])
    expect(problems.filter(({ kind }) => kind !== 'stray')).toEqual([])
  } finally {
    await other.drop()
  }
})

function bindAll(db: Fixture['test']['db']): Fixture['test']['db'] {
  return {
    query: (statement, options) => db.query(statement, options),
    execute: (script) => db.execute(script),
    withConnection: (use, options) => db.withConnection(use, options),
    transaction: (options, use) => db.transaction(options, use),
    reading: (options, use) => db.reading(options, use),
    serverVersion: () => db.serverVersion(),
    close: () => db.close(),
  }
}

it('a sweep that is killed between file and row is finished by the next one', async () => {
  const { test, lifecycle, another, store } = fixture
  await lifecycle.freeze(samples)
  await lifecycle.thaw(samples)
  const dying = another({
    settings: soon,
    store: {
      ...store,
      async remove(path) {
        await store.remove(path)
        throw new Error('killed')
      },
    },
  })
  await expect.poll(() => dying.sweep().catch((error: Error) => error.message)).toBe('killed')
  expect(await filesIn(store)).toEqual([])
  const { rows } = await test.db.query(sql`select count(*) from tidemark.lake_trash`)
  expect(rows).toEqual([[1n]])
  await expect.poll(() => another({ settings: soon }).sweep()).toMatchObject({ removed: 1, kept: 0 })
})

it('a lake that another database has swept is left alone until somebody says that it is gone', async () => {
  const { lifecycle, another, store, dir } = fixture
  await lifecycle.freeze(samples)
  await lifecycle.thaw(samples)
  await lifecycle.sweep()
  await writeFile(join(dir, 'owner', '123-00000002-5'), '{}')
  const mine = another({ settings: soon })
  expect(await mine.sweep()).toMatchObject({ removed: 0, held: expect.stringContaining('123-00000002-5') })
  expect(await filesIn(store)).toHaveLength(1)
  await expect.poll(() => mine.sweep({ adopt: true })).toMatchObject({ kept: 0, held: null })
  expect(await filesIn(store)).toEqual([])
})

it('verify finds a missing file, a short one, and guards that somebody took away', async () => {
  const { test, lifecycle, store, writer, dir } = fixture
  await writer.insert(samples, day('2026-01-02', 2, 'x'))
  await lifecycle.freeze(samples)
  expect(await lifecycle.verify([samples])).toMatchObject({ files: 2, rows: 5, problems: [] })
  const { rows } = await test.db.query(sql`select path from tidemark.lake_file order by id`)
  await store.remove(rows[0]![0] as string)
  await writeFile(join(dir, rows[1]![0] as string), 'short')
  await test.db.execute(`
    drop trigger tidemark_cold_table on samples;
    alter table tidemark_chunks.samples_c1 disable trigger tidemark_cold_chunk`)
  const { problems } = await lifecycle.verify([samples])
  expect(problems.map(({ kind }) => kind).sort()).toEqual(['damaged', 'guard', 'guard', 'missing'])
})

it('an ejected table is a plain partitioned table with all its rows', async () => {
  const { test, lifecycle, another, writer } = fixture
  await writer.insert(readings, [...day('2026-01-01'), ...day('2026-01-02', 2, 'x')])
  await lifecycle.freeze(readings, { olderThan: parseInstant('2026-01-02T00:00:00Z') })
  // Stopped after the first piece of work: it goes on where it was.
  const stopped = new AbortController()
  stopped.abort()
  await expect(lifecycle.eject(readings, { signal: stopped.signal })).rejects.toMatchObject({
    code: 'TM_CANCELLED',
  })
  expect(await another().eject(readings)).toEqual({ thawedChunks: 1, thawedRows: 3, partitions: 3 })
  const { rows } = await test.db.query(sql`
    select
      (select count(*) from readings),
      (select count(*) from pg_trigger as g join pg_class as c on c.oid = g.tgrelid
        where g.tgname like 'tidemark%' and c.relname like 'readings%'),
      (select count(*) from tidemark.hypertable where table_name = 'readings'),
      (select count(*) from tidemark.chunk as k join tidemark.hypertable as h on h.id = k.hypertable_id
        where h.table_name = 'readings')`)
  expect(rows).toEqual([[5n, 0n, 0n, 0n]])
  await test.db.execute(`
    update readings set value = 1; delete from readings where sensor = 's0'; truncate readings`)
  expect((await lifecycle.verify([samples])).problems).toEqual([])
})
