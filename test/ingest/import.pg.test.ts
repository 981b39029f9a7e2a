import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createHotWriter, type HotWriter } from '../../src/hot/index.ts'
import {
  countDeadLetters,
  type DeadReason,
  deadReasons,
  type ImportOptions,
  type ImportProgress,
  type ImportReport,
  importFile,
  importFiles,
  listDeadLetters,
} from '../../src/ingest/index.ts'
import { hypertable, type StoredDefinition, t, table } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, testChunks } from '../hot/create-test-hypertable.ts'
import { writeFile } from './files.ts'

const cpu = hypertable('import.cpu', {
  columns: {
    time: t.timestamptz(),
    host: t.text(),
    usage: t.float8().nullable(),
    cores: t.int4().default(4),
    tags: t.textArray().nullable(),
    doc: t.jsonb().nullable(),
  },
  time: 'time',
  chunk: '1 day',
})

const keyed = hypertable('import.keyed', {
  columns: { time: t.timestamptz(), host: t.text(), usage: t.int4() },
  time: 'time',
  primaryKey: ['host', 'time'],
  chunk: '1 day',
})

const plain = table('import.plain', {
  columns: { id: t.int8(), name: t.text().nullable() },
  primaryKey: ['id'],
})

let test: TestDatabase
let writer: HotWriter
let files = 0

beforeAll(async () => {
  test = await createTestDatabase()
  writer = createHotWriter({ db: test.db, chunks: testChunks(test.db) })
  await createTestHypertable(test.db, cpu)
  await createTestHypertable(test.db, keyed)
  await test.db.execute('create table import.plain (id int8 primary key, name text)')
})
afterAll(() => test.drop())
beforeEach(() => test.db.execute('truncate import.cpu, import.keyed, import.plain, tidemark.import cascade'))

it('makes a dead letter of a time at the very ends of timestamptz, and goes on', async () => {
  // seconds in the first hour of 4714 BC, in 2026 and in AD 287600
  const times = ['-210866801400', '1767225600', '9013700000000']
  const report = await importText(`time,host,usage\n${times.map((time) => `${time},a,1\n`).join('')}`, {
    timeFormat: 'unix-s',
  })
  expect(report).toMatchObject({ rows: 1, dead: 2 })
  const letters = await listDeadLetters(test.db, { importId: report.importId })
  expect(letters.map(({ line, column, reason }) => [line, column, reason])).toEqual([
    [2, 'time', 'range'],
    [4, 'time', 'range'],
  ])
})

async function importText(
  content: string | Buffer,
  options: ImportOptions = {},
  definition: StoredDefinition = cpu,
): Promise<ImportReport> {
  files += 1
  return importFile({
    db: test.db,
    writer,
    definition,
    file: writeFile(`file-${files}.csv`, content),
    options,
  })
}

async function problemOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (isTidemarkError(error)) return `${error.code} ${error.message}`
    throw error
  }
  throw new Error('nothing was refused')
}

async function rowsOf(query: string): Promise<readonly (readonly unknown[])[]> {
  return (await test.db.query(raw(query))).rows
}

async function one(query: string): Promise<number> {
  return Number((await rowsOf(query))[0]![0])
}

function lines(count: number, line: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => line(i)).join('\n')
}

describe('rows', () => {
  it('of every format come into the table as they are', async () => {
    await importText('time,host,usage,tags,doc\n2026-01-01T00:00:00.5Z,a,1.5,"{x,y}","{""k"": 1}"\n')
    await importText('{"time":"2026-01-01T00:00:01Z","host":"b","cores":8,"tags":["z"],"doc":{"k":[1]}}\n')
    expect(
      await rowsOf(
        'select time::text, host, usage, cores, tags::text, doc::text from import.cpu order by time',
      ),
    ).toEqual([
      ['2026-01-01 00:00:00.5+00', 'a', 1.5, 4, '{x,y}', '{"k": 1}'],
      ['2026-01-01 00:00:01+00', 'b', null, 8, '{z}', '{"k": [1]}'],
    ])
  })

  it('come into plain tables too', async () => {
    const report = await importText('id,name\n1,a\n2,\n', {}, plain)
    expect([report.rows, report.inserted]).toEqual([2, 2])
    expect(await rowsOf('select id, name from import.plain order by id')).toEqual([
      [1n, 'a'],
      [2n, null],
    ])
  })

  it('of a packed file, of many batches over two connections, are all there once', async () => {
    const content = `time,host,usage\n${lines(5000, (i) => `${1767225600 + i * 60},h${i % 7},${i}`)}\n`
    const file = writeFile('many.csv.gz', content, { gzip: true })
    const report = await importFile({
      db: test.db,
      writer,
      definition: cpu,
      file,
      options: { batchRows: 170, connections: 2 },
    })
    expect(report).toMatchObject({ records: 5000, rows: 5000, dead: 0, inserted: 5000, isResumed: false })
    expect(await one('select count(distinct usage) from import.cpu')).toBe(5000)
    expect(await one('select sum(usage) from import.cpu')).toBe((4999 * 5000) / 2)
    expect(await rowsOf('select state, rows, dead from tidemark.import')).toEqual([['done', 5000n, 0n]])
    expect(await one('select count(*) from tidemark.import_batch')).toBe(0)
  })

  it('of a limit are the first ones', async () => {
    const report = await importText(`time,host\n${lines(100, (i) => `${1767225600 + i},a`)}`, {
      limit: 30,
      batchRows: 7,
    })
    expect(report).toMatchObject({ records: 30, rows: 30 })
    expect(await one('select extract(epoch from max(time)) - 1767225600 from import.cpu')).toBe(29)
  })

  it('of a file with nothing but a header are none', async () => {
    expect(await importText('time,host\n')).toMatchObject({ records: 0, rows: 0, dead: 0 })
  })
})

describe('dead letters', () => {
  it('say file, line, column, value, reason and the raw row, and are counted by reason', async () => {
    const report = await importText(
      Buffer.concat([
        Buffer.from(
          [
            'time,host,usage,cores',
            '2026-01-01T00:00:00Z,a,1,1',
            '2026-01-01T00:00:00Z,a,much,1',
            ',,,',
            '2026-01-01T00:00:00Z,a,1,9999999999',
            'soon,a,1,1',
            '2026-01-01 00:00:00,a,1,1',
            '2026-01-01T00:00:00Z,a,1',
            '2026-01-01T00:00:00Z,"a"b,1,1',
            ',a,1,1',
            '2026-01-01T00:00:00Z,n\0l,1,1',
            '',
          ].join('\n'),
        ),
        Buffer.from('2026-01-01T00:00:00Z,\xff,1,1\n', 'latin1'),
        Buffer.from('2026-01-01T00:00:01Z,ä,1,1\n'),
      ]),
    )
    expect(report).toMatchObject({ records: 12, rows: 2, dead: 10 })
    expect(report.deadByReason).toEqual({
      type: 1,
      empty: 1,
      range: 1,
      time: 1,
      time_zone: 1,
      fields: 1,
      quote: 1,
      null: 1,
      nul: 1,
      encoding: 1,
    })
    const letters = await listDeadLetters(test.db, { importId: report.importId })
    expect(letters.map(({ line, column, value, reason }) => [line, column, value, reason])).toEqual([
      [3, 'usage', 'much', 'type'],
      [4, null, null, 'empty'],
      [5, 'cores', '9999999999', 'range'],
      [6, 'time', 'soon', 'time'],
      [7, 'time', '2026-01-01 00:00:00', 'time_zone'],
      [8, null, null, 'fields'],
      [9, 'host', null, 'quote'],
      [10, 'time', '', 'null'],
      [11, 'host', 'n\u2400l', 'nul'],
      [12, 'host', '\ufffd', 'encoding'],
    ])
    expect(letters[0]).toMatchObject({
      dataset: 'import.cpu',
      file: report.file,
      raw: '2026-01-01T00:00:00Z,a,much,1',
    })
    expect(await countDeadLetters(test.db, { dataset: 'import.cpu' })).toEqual(report.deadByReason)
    expect(await listDeadLetters(test.db, { dataset: 'import.cpu', reason: 'type', limit: 5 })).toHaveLength(
      1,
    )
  })

  it('of NDJSON and logs', async () => {
    const report = await importText(
      '{"time":"2026-01-01T00:00:00Z","host":"a"}\n{"time":\n[1]\n{"host":"b"}\n{"time":true,"host":"c"}\n',
      { format: 'ndjson' },
    )
    expect(report.deadByReason).toEqual({ json: 2, null: 1, type: 1 })
    const log = await importText(
      '1.2.3.4 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x"\n1.2.3.4 broken\n',
    )
    expect(log).toMatchObject({ rows: 1, deadByReason: { log_line: 1 } })
  })

  it('keep bounded pieces of what was refused', async () => {
    const report = await importText(`time,host,usage\n1767225600,a,${'x'.repeat(10_000)}\n1767225600,a,1\n`)
    const [letter] = await listDeadLetters(test.db, { importId: report.importId })
    expect([letter!.value!.length, letter!.raw!.length]).toEqual([200, 2000])
  })

  it('a row that is too long is one, its neighbours are rows', async () => {
    const report = await importText(
      `time,host\n1767225600,a\n1767225600,${'x'.repeat(10 * 1024 * 1024)}\n1767225601,b\n`,
    )
    expect(report).toMatchObject({ rows: 2, deadByReason: { too_long: 1 } })
  })

  it('a constraint of the table that refuses single rows', async () => {
    await test.db.execute('alter table import.plain add constraint short check (length(name) < 5)')
    const report = await importText(
      `id,name\n${lines(50, (i) => `${i},${i % 20 === 7 ? 'longer' : 'ok'}`)}\n`,
      {},
      plain,
    )
    await test.db.execute('alter table import.plain drop constraint short')
    expect(report).toMatchObject({ records: 50, rows: 47, dead: 3, deadByReason: { constraint: 3 } })
    expect((await listDeadLetters(test.db, { importId: report.importId })).map(({ line }) => line)).toEqual([
      9, 29, 49,
    ])
    expect(await one('select count(*) from import.plain')).toBe(47)
  })

  it('at most maxDead: then the import stops, and goes on after the limit is raised', async () => {
    const content = `time,host,usage\n${lines(100, (i) => `${1767225600 + i},a,${i % 4 === 0 ? 'x' : i}`)}\n`
    const file = writeFile('dead.csv', content)
    const request = { db: test.db, writer, definition: cpu, file }
    expect(await problemOf(importFile({ ...request, options: { maxDead: 12, batchRows: 10 } }))).toMatch(
      /13 records do not fit, more than maxDead \(12\).*line 50.*goes on after them/,
    )
    const { rows } = await test.db.query(sql`select state, rows, dead from tidemark.import`)
    expect(rows).toEqual([['stopped', 30n, 10n]])
    const report = await importFile({ ...request, options: { maxDead: 1000, batchRows: 10 } })
    expect(report).toMatchObject({ isResumed: true, records: 100, rows: 75, dead: 25, inserted: 45 })
    expect(report.recordsThisRun).toBe(60)
    expect(await one('select count(*) from import.cpu')).toBe(75)
  })

  it('at most half of 10,000 records and more', async () => {
    const content = `time,host\n${lines(12_000, (i) => `${i % 5 === 0 ? 1767225600 + i : 'x'},a`)}\n`
    expect(await problemOf(importText(content, { timeFormat: 'unix-s' }))).toMatch(/maxDeadShare \(0.5\)/)
  })

  it('the guide names every reason, and no other', async () => {
    const { readFileSync } = await import('node:fs')
    const guide = readFileSync(new URL('../../docs/reference/import.md', import.meta.url), 'utf8')
    const section = guide.slice(
      guide.indexOf('## Reasons'),
      guide.indexOf('\n## ', guide.indexOf('## Reasons') + 5),
    )
    const named = [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name as DeadReason)
    expect(named).toEqual(Object.keys(deadReasons))
  })
})

describe('strict', () => {
  it('stops at the first row that does not fit: nothing of the open batch is written', async () => {
    const content = `time,host,usage\n${lines(30, (i) => `${1767225600 + i},a,${i === 25 ? 'x' : i}`)}\n`
    expect(await problemOf(importText(content, { strict: true, batchRows: 10 }))).toMatch(
      /TM_IMPORT .*file-\d+\.csv: line 27, column "usage", value "x": it is no number \(type\); .*20 rows and 0 dead letters/,
    )
    expect(await one('select count(*) from import.cpu')).toBe(20)
    expect(await one('select count(*) from tidemark.dead_letter')).toBe(0)
  })
})

describe('rows whose key is there', () => {
  const content = 'time,host,usage\n1767225600,a,1\n1767225601,a,2\n1767225600,a,3\n'

  it('stop the import by default: the open batch is not written', async () => {
    expect(await problemOf(importText(content, {}, keyed))).toMatch(/TM_DUPLICATE_KEY/)
    expect(await one('select count(*) from import.keyed')).toBe(0)
  })

  it('are left out when asked to, and counted', async () => {
    expect(await importText(content, { onConflict: 'ignore' }, keyed)).toMatchObject({
      rows: 3,
      inserted: 2,
      ignored: 1,
    })
    expect(await rowsOf('select usage from import.keyed order by time')).toEqual([[1], [2]])
  })

  it('are overwritten when asked to: the last row of the file wins, also over batches', async () => {
    await importText(content, { onConflict: 'update', batchRows: 1, connections: 4 }, keyed)
    expect(await rowsOf('select usage from import.keyed order by time')).toEqual([[3], [2]])
  })
})

describe('the same file', () => {
  const content = 'time,host\n1767225600,a\n1767225601,b\n'

  it('is refused a second time, also under another name, and comes in again when asked to', async () => {
    await importText(content)
    expect(await problemOf(importText(content))).toMatch(
      /was imported into import\.cpu already \(2 rows.*--again/,
    )
    await importText(content, { again: true })
    expect(await one('select count(*) from import.cpu')).toBe(4)
  })

  it('with another content is another file', async () => {
    await importText(content)
    await importText(content.replace('b', 'c'))
    expect(await one('select count(*) from import.cpu')).toBe(4)
  })

  it('begun with other options is refused', async () => {
    const bad = `${content}x,c\n`
    const file = writeFile('x.csv', bad)
    const request = { db: test.db, writer, definition: cpu, file }
    await problemOf(importFile({ ...request, options: { strict: true, timeFormat: 'unix-s' } }))
    expect(
      await problemOf(importFile({ ...request, options: { timeFormat: 'unix-s', set: { cores: '5' } } })),
    ).toMatch(/begun with other options/)
  })

  it('begun by a release whose batches had one length goes on after them, whatever their length is now', async () => {
    const text = `time,host,usage\n${lines(100, (i) => `${1767225600 + i},a,${i === 45 ? 'x' : i}`)}\n`
    const file = writeFile('older.csv', text)
    const request = { db: test.db, writer, definition: cpu, file }
    await problemOf(
      importFile({ ...request, options: { strict: true, batchRows: 10, timeFormat: 'unix-s' } }),
    )
    // as that release wrote them: by number; the second and fourth had not been committed
    await test.db.execute(`
      delete from import.cpu where usage between 10 and 19 or usage between 30 and 39;
      delete from tidemark.import_batch where batch in (10, 30);
      update tidemark.import_batch set batch = batch / 10;
      update tidemark.import set batch_rows = 10`)
    expect(await one('select max(batch) from tidemark.import_batch')).toBe(2)
    const report = await importFile({ ...request, options: { batchRows: 7, timeFormat: 'unix-s' } })
    expect(report).toMatchObject({ isResumed: true, records: 100, rows: 99, dead: 1, inserted: 79 })
    expect(await one('select count(*) from import.cpu')).toBe(99)
    expect(await one('select count(distinct usage) from import.cpu')).toBe(99)
  })

  it('is refused while another process imports it, and comes in once', async () => {
    const many = `time,host\n${lines(20_000, (i) => `${1767225600 + i},a`)}\n`
    const file = writeFile('twice.csv', many)
    const run = (): Promise<ImportReport> =>
      importFile({ db: test.db, writer, definition: cpu, file, options: { batchRows: 500 } })
    const answers = await Promise.allSettled([run(), run(), run()])
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const answer of answers)
      if (answer.status === 'rejected') expect(String(answer.reason)).toMatch(/another process|already/)
    expect(await one('select count(*) from import.cpu')).toBe(20_000)
  })
})

describe('several files', () => {
  it('come in one after the other; those that are in are left out when the list is given again', async () => {
    const list = [0, 1, 2].map((i) => writeFile(`part-${i}.csv`, `time,host\n${1767225600 + i},${i}\n`))
    const request = { db: test.db, writer, definition: cpu }
    const { reports } = await importFiles({ ...request, files: list.slice(0, 2) })
    expect(reports.map(({ rows }) => rows)).toEqual([1, 1])
    const again = await importFiles({ ...request, files: list })
    expect(again.skipped).toEqual(list.slice(0, 2))
    expect(again.reports.map(({ rows }) => rows)).toEqual([1])
    expect(await problemOf(importFiles({ ...request, files: list }))).toMatch(/already/)
    expect(await one('select count(*) from import.cpu')).toBe(3)
  })
})

describe('while it runs', () => {
  it('says how far it is, up to the end', async () => {
    const file = writeFile('progress.csv', `time,host\n${lines(40_000, (i) => `${1767225600 + i},a`)}\n`)
    const seen: ImportProgress[] = []
    await importFile({
      db: test.db,
      writer,
      definition: cpu,
      file,
      options: { batchRows: 1000 },
      onProgress: (progress) => seen.push(progress),
    })
    const last = seen.at(-1)!
    expect(last).toMatchObject({ records: 40_000, rows: 40_000, dead: 0, secondsLeft: 0 })
    expect(last.bytesRead).toBe(last.bytesTotal)
    for (const [i, progress] of seen.entries())
      if (i > 0) expect(progress.records).toBeGreaterThanOrEqual(seen[i - 1]!.records)
  })

  it('can be cancelled, and goes on when it is called again', async () => {
    const rows = 20_000
    const file = writeFile('cancel.csv', `time,host\n${lines(rows, (i) => `${1767225600 + i * 8},a`)}\n`)
    const request = {
      db: test.db,
      writer,
      definition: cpu,
      file,
      options: { batchRows: 1000, connections: 2 },
    }
    // the rows of the second day have to wait: so there is something left to cancel
    await writer.insert(cpu, [{ time: '2026-01-02T12:00:00Z', host: 'a' }])
    const { rows: partitions } = await test.db.query(sql`select tableoid::regclass::text from import.cpu`)
    await test.db.execute('delete from import.cpu')
    const holder = await test.connect()
    await holder.execute(`begin; lock table ${partitions[0]![0]} in share mode`)
    const stop = new AbortController()
    const cancelled = importFile({ ...request, signal: stop.signal })
    cancelled.catch(() => {})
    await expect.poll(() => one('select count(*) from import.cpu')).toBeGreaterThan(0)
    stop.abort()
    expect(await problemOf(cancelled)).toMatch(/TM_CANCELLED/)
    const before = await one('select count(*) from import.cpu')
    expect(before).toBeLessThan(rows)
    await holder.execute('rollback')
    await holder.close()
    const report = await importFile(request)
    expect(report.isResumed).toBe(true)
    expect(report.inserted).toBe(rows - before)
    expect(await one('select count(distinct time) from import.cpu')).toBe(rows)
    expect(await one('select count(*) from import.cpu')).toBe(rows)
  })

  it('a file that grows is imported as long as it was at the start', async () => {
    const file = writeFile('grows.csv', `time,host\n${lines(100, (i) => `${1767225600 + i},a`)}\n`)
    const report = await importFile({
      db: test.db,
      writer,
      definition: cpu,
      file,
      onPlan: () => writeFileSync(file, '1767230000,b\n', { flag: 'a' }),
    })
    expect(report.records).toBe(100)
  })
})
