import { type ChildProcess, spawn } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, it } from 'vitest'
import { createDuckDB, createLakeFiles } from '../../src/lake/index.ts'
import { createLifecycle, type Lifecycle } from '../../src/lifecycle/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestHypertable } from '../hot/create-test-hypertable.ts'
import { createFixture, day, type Fixture, firstDay, samples, states } from './fixture.ts'

/** As the product has them: Parquet, by DuckDB. */
let fixture: Fixture
const duckdb = createDuckDB({ threads: 1 })
const children: ChildProcess[] = []
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await fixture.drop()
})

function realLifecycle(): Lifecycle {
  const { test, store, chunks } = fixture
  const settings = { keepDroppedMs: 0, leaseMs: 300 }
  return createLifecycle({ db: test.db, store, chunks, files: createLakeFiles({ duckdb, store }), settings })
}

const everything = hypertable('public.everything', {
  columns: {
    time: t.timestamptz(),
    flag: t.bool().nullable(),
    small: t.int2().nullable(),
    whole: t.int4().nullable(),
    large: t.int8().nullable(),
    short: t.float4().nullable(),
    long: t.float8().nullable(),
    exact: t.numeric().nullable(),
    name: t.text().nullable(),
    id: t.uuid().nullable(),
    on: t.date().nullable(),
    tags: t.textArray().nullable(),
    details: t.jsonb().nullable(),
  },
  time: 'time',
  chunk: '1 day',
})

it('every value comes back as it was, through the lake and a compaction', async () => {
  fixture = await createFixture()
  const { test, chunks } = fixture
  await createTestHypertable(test.db, everything)
  await chunks.ensureChunks(everything, [0n])
  await test.db.execute(`
    insert into everything
    select
      '1970-01-01'::timestamptz + n * interval '1.000001 second', n % 2 = 0, n % 32768, n, 9007199254740993 + n,
      case n % 5 when 0 then 'NaN' when 1 then '-Infinity' when 2 then '-0' else (n / 7.0)::text end::float4,
      case n % 5 when 0 then 'NaN' when 1 then 'Infinity' when 2 then '-0' else (n / 7.0)::text end::float8,
      case n % 3 when 0 then 1.50 when 1 then 'NaN'::numeric else n / 3.0 end,
      case n % 4 when 0 then '' when 1 then null else repeat('ü☃', n % 50) end,
      md5(n::text)::uuid, date '2000-02-29' + n, case when n % 3 = 0 then array['a', null, ''] end,
      case n % 3 when 0 then null when 1 then jsonb_build_object('a', n, 'b', jsonb_build_array(1, null, 'x')) else '"text"' end
    from generate_series(0, 2000) as n`)
  const hash = async () =>
    (
      await test.db.query(sql`
        select count(*), sum(hashtextextended(encode(record_send(e), 'hex'), 0))::text from everything as e`)
    ).rows
  const before = await hash()
  const lifecycle = realLifecycle()
  expect(await lifecycle.freeze(everything)).toMatchObject({ chunks: 1, rows: 2001 })
  await test.db.execute(`insert into everything (time) values ('1970-01-01 20:00')`)
  expect(await lifecycle.compact(everything)).toMatchObject({ chunks: 1, rows: 2002 })
  expect(await lifecycle.verify([everything])).toMatchObject({ files: 1, rows: 2002, problems: [] })
  expect(await lifecycle.thaw(everything)).toMatchObject({ rows: 2002 })
  await test.db.execute(`delete from everything where time = '1970-01-01 20:00'`)
  expect(await hash()).toEqual(before)
})

it('a damaged summary is found, and a compaction writes it anew', async () => {
  fixture = await createFixture(samples)
  const { test, dir } = fixture
  const rows = Array.from({ length: 20_000 }, (_, i) => ({
    time: firstDay + BigInt(i) * 4_000_000n,
    tenant: 't1',
    sensor: `s${i % 2}`,
    value: Math.sin(i),
  }))
  await fixture.writer.insert(samples, rows)
  const lifecycle = realLifecycle()
  await lifecycle.freeze(samples)
  const { rows: summaries } = await test.db.query(sql`select summary_path from tidemark.lake_file`)
  const local = join(dir, summaries[0]![0] as string)
  const bytes = await readFile(local)
  bytes[bytes.length >> 1]! ^= 1
  await rm(local)
  await writeFile(local, bytes)
  expect((await lifecycle.verify([samples])).problems).toMatchObject([
    { kind: 'damaged', path: summaries[0]![0] },
  ])
  await lifecycle.compact(samples)
  expect((await lifecycle.verify([samples])).problems.filter(({ kind }) => kind !== 'stray')).toEqual([])
})

it('a worker that is killed at any moment leaves every row once', { timeout: 90_000 }, async () => {
  fixture = await createFixture(samples)
  const { test, writer, dir } = fixture
  await writer.insert(samples, [...day('2026-01-01', 200), ...day('2026-01-02', 50, 'x')])
  const child = fileURLToPath(new URL('mover-child.ts', import.meta.url))
  const seed = Math.floor(Math.random() * 2 ** 31)
  let random = seed
  for (let kill = 0; kill < 4; kill += 1) {
    const process = spawn(
      globalThis.process.execPath,
      ['--import', 'jiti/register', child, test.connectionString, dir],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    children.push(process)
    const exited = new Promise((resolve) => process.once('exit', resolve))
    await new Promise((resolve, reject) => {
      createInterface(process.stdout!).once('line', resolve)
      process.once('exit', () => reject(new Error('it ended by itself')))
    })
    random = (random * 1103515245 + 12345) % 2 ** 31
    // At what moment it dies is the point.
    await sleep(100 + (random % 1200))
    process.kill('SIGKILL')
    await exited
    const { rows } = await test.db.query(sql`
      select
        (select count(*) from samples)
        + (select coalesce(sum(row_count), 0) from tidemark.lake_file)::int8`)
    expect([seed, kill, rows]).toEqual([seed, kill, [[250n]]])
    const { problems } = await realLifecycle().verify([samples])
    expect([seed, kill, problems.filter((problem) => problem.kind !== 'stray')]).toEqual([seed, kill, []])
  }
  // What the dead ones held is to be had again, once their leases have run out.
  await expect
    .poll(
      async () => {
        await realLifecycle().freeze(samples)
        await realLifecycle().thaw(samples)
        return states(test.db)
      },
      { timeout: 20_000 },
    )
    .toEqual(['hot 0', 'hot 0'])
  const { rows } = await test.db.query(sql`select count(*), count(distinct sensor) from samples`)
  expect([seed, rows]).toEqual([seed, [[250n, 250n]]])
})
