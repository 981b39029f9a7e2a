import { describe, expect, test } from 'vitest'
import { defineConfig, hypertable, t, table, view } from '../../src/schema/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'

const columns = {
  time: t.timestamptz(),
  model: t.text(),
  tenant: t.text(),
  note: t.text().nullable(),
  data: t.jsonb().nullable(),
  words: t.textArray().nullable(),
  value: t.float8(),
}

/** The messages, one problem a line. */
function problemsOf(
  declare: () => unknown,
  code: 'TM_DECLARATION' | 'TM_CONFIG' = 'TM_DECLARATION',
): string[] {
  try {
    declare()
  } catch (error) {
    expect(error).toBeInstanceOf(TidemarkError)
    expect((error as TidemarkError).code).toBe(code)
    return (error as Error).message.split('\n')
  }
  return []
}

/** Declares what TypeScript would not let through. */
const declare = (options: object, name: unknown = 'metrics.cpu') =>
  problemsOf(() => hypertable(name as string, { columns, time: 'time', ...options } as never))

describe('a hypertable', () => {
  test('has defaults for what is not said', () => {
    const cpu = hypertable('metrics.cpu', { columns, time: 'time' })
    expect(cpu).toMatchObject({
      kind: 'hypertable',
      name: 'metrics.cpu',
      schema: 'metrics',
      table: 'cpu',
      time: 'time',
      primaryKey: null,
      tenant: null,
      appendOnly: false,
      comment: null,
      orderBy: ['time'],
      freeze: null,
      retain: null,
      maxChunks: 200,
    })
    expect(cpu.chunk.text).toBe('7 days')
    expect(cpu.changeCell.text).toBe('6 hours')
    expect(Object.keys(cpu.columns)).toEqual(Object.keys(columns))
  })

  test('keeps what is said', () => {
    const cpu = hypertable('cpu', {
      columns,
      time: 'time',
      tenant: 'tenant',
      primaryKey: ['tenant', 'model', 'time'],
      appendOnly: true,
      chunk: '1 month',
      orderBy: ['model'],
      freeze: { after: '7 days' },
      retain: '1 year',
      maxChunks: 20,
      changeCell: '15m',
      comment: 'processors',
      timeIndex: false,
    })
    expect(cpu.name).toBe('public.cpu')
    expect(cpu.orderBy).toEqual(['model', 'time'])
    expect(cpu.freeze?.after.text).toBe('7 days')
    expect(cpu.retain?.text).toBe('1 year')
    expect(cpu.changeCell.text).toBe('15 minutes')
    expect(cpu.indexes).toEqual([])
    expect(cpu).toMatchObject({ tenant: 'tenant', appendOnly: true, maxChunks: 20, comment: 'processors' })
  })

  test('is frozen through and through, and builders never change', () => {
    const base = t.text()
    base.nullable().comment('x')
    const one = table('x', { columns: { base } })
    expect(one.columns.base).toMatchObject({ nullable: false, comment: null })
    const cpu = hypertable('cpu', {
      columns: { ...columns, j: t.jsonb().default({ a: [1] }) },
      time: 'time',
      indexes: [['model']],
      freeze: { after: '1 day' },
    })
    const walk = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      expect(Object.isFrozen(value)).toBe(true)
      for (const inner of Object.values(value)) walk(inner)
    }
    walk(cpu)
  })

  test.each([
    ['1 minute', '1 minute'],
    ['1 hour', '2 minutes'],
    ['12 hours', '30 minutes'],
    ['1 day', '1 hour'],
    ['1 week', '6 hours'],
    ['1 month', '1 day'],
    ['1 year', '1 day'],
  ])('of chunk %s marks changes by %s', (chunk, cell) => {
    expect(hypertable('cpu', { columns, time: 'time', chunk }).changeCell.text).toBe(cell)
  })
})

describe('the index on the time', () => {
  const indexesOf = (options: object) =>
    hypertable('cpu', { columns, time: 'time', ...options } as never).indexes.map(
      (i) => `${i.name}: ${i.columns.map((c) => `${c.column} ${c.direction}`).join(', ')}`,
    )
  test('is there by default, newest first, behind the declared ones', () => {
    expect(indexesOf({})).toEqual(['cpu_time_idx: time desc'])
    expect(indexesOf({ indexes: [['model', '-time']] })).toEqual([
      'cpu_model_time_idx: model asc, time desc',
      'cpu_time_idx: time desc',
    ])
  })
  test('is left out when the key or another index leads with the time, or when told', () => {
    expect(indexesOf({ primaryKey: ['time', 'model'] })).toEqual([])
    expect(indexesOf({ primaryKey: ['model', 'time'] })).toEqual(['cpu_time_idx: time desc'])
    expect(indexesOf({ indexes: [['time', 'model']] })).toEqual(['cpu_time_model_idx: time asc, model asc'])
    expect(indexesOf({ timeIndex: false })).toEqual([])
    // a partial or brin index cannot stand in for it
    expect(indexesOf({ indexes: [{ columns: ['time'], method: 'brin', name: 'b' }] })).toHaveLength(2)
    expect(indexesOf({ indexes: [{ columns: ['time'], where: 'value > 1', name: 'p' }] })).toHaveLength(2)
  })
  test('names that are too long for PostgreSQL are cut and stay different', () => {
    const long = 'a'.repeat(60)
    const made = hypertable(long, { columns, time: 'time', indexes: [['model'], ['tenant']] })
    const names = made.indexes.map((i) => i.name)
    expect(new Set(names).size).toBe(3)
    for (const name of names) expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63)
  })
})

describe('what is wrong is named with its path', () => {
  test.each<[string, object, string]>([
    ['an unknown option', { retian: '1 year' }, '.retian: unknown option; did you mean "retain"?'],
    ['an option far from all', { zzzzzzzz: 1 }, '.zzzzzzzz: unknown option; known: columns, time'],
    ['a missing time', { time: undefined }, '.time: is missing'],
    ['an unknown time', { time: 'tme' }, '.time: "tme" is not a column; did you mean "time"?'],
    ['a time of another type', { time: 'value' }, '.time: column "value" is float8; it must be timestamptz'],
    [
      'a day as the time',
      { columns: { ...columns, time: t.date() } },
      '.time: column "time" is date; it must be timestamptz, where a day is kept as its midnight',
    ],
    [
      'a nullable time',
      { columns: { ...columns, time: t.timestamptz().nullable() } },
      '.time: column "time" is nullable',
    ],
    ['a nullable tenant', { tenant: 'note' }, '.tenant: column "note" is nullable'],
    [
      'a tenant of another type',
      { tenant: 'value' },
      '.tenant: column "value" is float8; a tenant column is text, uuid, int4, int8',
    ],
    ['a key without the time', { primaryKey: ['model'] }, '.primaryKey: must hold the time column "time"'],
    [
      'a key without the tenant',
      { tenant: 'tenant', primaryKey: ['model', 'time'] },
      '.primaryKey: must hold the tenant column "tenant"',
    ],
    ['a nullable key', { primaryKey: ['note', 'time'] }, '.primaryKey: column "note" is nullable'],
    [
      'a jsonb key',
      { columns: { ...columns, data: t.jsonb() }, primaryKey: ['data', 'time'] },
      'cannot be part of a key',
    ],
    ['a key twice', { primaryKey: ['time', 'time'] }, '.primaryKey[1]: "time" is listed twice'],
    ['an empty key', { primaryKey: [] }, '.primaryKey: must be a list of at least one column name'],
    ['an unknown order', { orderBy: ['modl'] }, '.orderBy[0]: "modl" is not a column; did you mean "model"?'],
    ['an order of jsonb', { orderBy: ['data'] }, '.orderBy: column "data" is jsonb, which has no order'],
    ['a chunk that is no interval', { chunk: 'daily' }, '.chunk: "daily" is not an interval'],
    ['a chunk below a minute', { chunk: '59 seconds' }, ".chunk: '59 seconds' is shorter than a minute"],
    [
      'a chunk beyond retain',
      { chunk: '1 month', retain: '1 week' },
      ".retain: '1 week' is shorter than a chunk ('1 month')",
    ],
    ['a word for late rows', { late: 'keep' }, `.late: "keep" is neither 'refuse' nor 'merge'`],
    [
      'freeze beyond retain',
      { freeze: { after: '1 year' }, retain: '12 months' },
      ".freeze.after: '1 year' is not before retain ('12 months')",
    ],
    ['freeze without after', { freeze: {} }, '.freeze.after: undefined is not an interval'],
    ['freeze as text', { freeze: '7 days' }, '.freeze: must be an object with the options after'],
    [
      'an unknown part of freeze',
      { freeze: { after: '1 day', afer: 1 } },
      '.freeze.afer: unknown option; did you mean "after"?',
    ],
    ['a cell of a month', { changeCell: '1 month' }, ".changeCell: '1 month' is a calendar length"],
    [
      'a cell beyond the chunk',
      { chunk: '1 hour', changeCell: '2 hours' },
      ".changeCell: '2 hours' is longer than a chunk ('1 hour')",
    ],
    [
      'a cell below a second',
      { changeCell: '5ms' },
      ".changeCell: '5 milliseconds' is shorter than a second",
    ],
    ['no chunk at all', { maxChunks: 0 }, '.maxChunks: 0 is not a whole number from 1 to 2000'],
    ['a comment with NUL', { comment: 'a\0' }, '.comment: must be a text without NUL'],
    ['appendOnly as text', { appendOnly: 'yes' }, '.appendOnly: must be true or false'],
    ['columns as a list', { columns: [] }, '.columns: must be an object of columns'],
    ['no column', { columns: {} }, '.columns: must hold at least one column'],
    ['a column that is none', { columns: { ...columns, x: 'text' } }, '.columns.x: must be made with t'],
    ['an index on nothing', { indexes: [[]] }, '.indexes[0]: must be a list of at least one column name'],
    [
      'an index on an unknown column',
      { indexes: [['modle']] },
      '.indexes[0][0]: "modle" is not a column; did you mean "model"?',
    ],
    [
      'a unique index without time',
      { indexes: [{ columns: ['model'], unique: true }] },
      'the unique index "cpu_model_key" must hold the time column',
    ],
    [
      'two indexes of one name',
      { indexes: [['model'], ['-model']] },
      '.indexes[1]: another index has the name "cpu_model_idx"',
    ],
    [
      'an index with the name of the key',
      { indexes: [{ columns: ['model'], name: 'cpu_pkey' }] },
      'another index has the name "cpu_pkey"',
    ],
    [
      'gin on text',
      { indexes: [{ columns: ['model'], method: 'gin' }] },
      'gin indexes jsonb and text[] columns; "model" is text',
    ],
    [
      'gin with a direction',
      { indexes: [{ columns: ['-data'], method: 'gin' }] },
      'a gin index has no direction',
    ],
    [
      'brin on jsonb',
      { indexes: [{ columns: ['data'], method: 'brin' }] },
      'brin cannot index "data" (jsonb)',
    ],
    [
      'hash on two columns',
      { indexes: [{ columns: ['model', 'note'], method: 'hash' }] },
      'a hash index has exactly one column',
    ],
    [
      'a unique hash',
      { indexes: [{ columns: ['time'], method: 'hash', unique: true }] },
      'a hash index cannot be unique',
    ],
    [
      'an unknown method',
      { indexes: [{ columns: ['model'], method: 'lsm' }] },
      '.indexes[0].method: "lsm" is not one of btree, gin, brin, hash',
    ],
    [
      'an unknown part of an index',
      { indexes: [{ columns: ['model'], uniqe: true }] },
      '.indexes[0].uniqe: unknown option; did you mean "unique"?',
    ],
    [
      'an empty condition',
      { indexes: [{ columns: ['model'], where: ' ' }] },
      '.indexes[0].where: must be an SQL condition',
    ],
    [
      'an index name too long',
      { indexes: [{ columns: ['model'], name: 'ä'.repeat(32) }] },
      "has 64 bytes, over PostgreSQL's limit of 63",
    ],
  ])('%s', (_, options, expected) => {
    const problems = declare(options)
    expect(
      problems.some((p) => p.startsWith('hypertable("metrics.cpu")') && p.includes(expected)),
      problems.join('\n'),
    ).toBe(true)
  })

  test('all problems of one declaration come in one error', () => {
    const problems = declare({ time: 'tme', chunk: 'x', retian: 1, orderBy: ['q'], maxChunks: -1 })
    expect(problems).toHaveLength(5)
    for (const problem of problems) expect(problem).toMatch(/^hypertable\("metrics\.cpu"\)\.\w+/)
  })

  test.each<[unknown, RegExp]>([
    ['', /must not be empty/],
    ['a.', /must not be empty/],
    ['a.b.c', /more than one dot/],
    ['pg_catalog.x', /belongs to PostgreSQL/],
    ['information_schema.x', /belongs to PostgreSQL/],
    ['tidemark.x', /belongs to Tidemark/],
    ['tidemark_chunks.x', /belongs to Tidemark/],
    ['$x', /must not start with "\$"/],
    ['a\0b', /NUL/],
    ['\ud800', /Unicode/],
    ['x'.repeat(64), /64 bytes/],
    [5, /must be a string/],
  ])('the table name %o is refused', (name, reason) => {
    expect(declare({}, name).join('\n')).toMatch(reason)
  })

  test.each<[string, RegExp]>([
    ['', /must not be empty/],
    ['a.b', /dot/],
    ['$a', /"\$"/],
    ['-a', /descending/],
    ['ctid', /system column/],
    ['xmin', /system column/],
    ['x'.repeat(64), /64 bytes/],
    ['a\0', /NUL/],
  ])('the column name %o is refused', (name, reason) => {
    expect(declare({ columns: { ...columns, [name]: t.text() } }).join('\n')).toMatch(reason)
  })

  test('__proto__ is refused, names that objects inherit are not', () => {
    const odd = { ...columns }
    Object.defineProperty(odd, '__proto__', { value: t.text(), enumerable: true })
    expect(declare({ columns: odd }).join('\n')).toMatch(/__proto__/)
    expect(
      declare({ columns: { ...columns, constructor: t.text(), 'Größe m²': t.text(), order: t.int4() } }),
    ).toEqual([])
  })
})

describe('a default is checked by its type', () => {
  test.each<[string, object, RegExp]>([
    ['int2', t.int2().default(32_768), /outside of int2/],
    ['int4', t.int4().default(1.5), /whole number/],
    ['int4 text', t.int4().default('1' as never), /must be a number/],
    ['int8', t.int8().default(2n ** 63n), /outside of int8/],
    ['int8 rounded', t.int8().default(2 ** 60), /beyond 2\^53/],
    ['float4', t.float4().default(1e39), /outside of float4/],
    ['numeric scale', t.numeric(5, 2).default('1.234'), /3 digits behind the point/],
    ['numeric size', t.numeric(5, 2).default(1234), /4 digits before the point/],
    ['numeric word', t.numeric().default('12a'), /decimal number/],
    ['uuid', t.uuid().default('123'), /UUID/],
    ['bool', t.bool().default('true' as never), /true or false/],
    ['date', t.date().default('2026-02-30'), /no day of the calendar/],
    ['timestamptz without zone', t.timestamptz().default('2026-01-01T00:00:00'), /no zone/],
    ['timestamptz infinite', t.timestamptz().default('infinity'), /finite/],
    ['text with NUL', t.text().default('a\0'), /NUL/],
    ['jsonb', t.jsonb().default({ a: Number.NaN }), /NaN/],
    ['text[]', t.textArray().default([1 as never]), /element 0/],
    [
      'null',
      t
        .text()
        .nullable()
        .default(null as never),
      /must not be null/,
    ],
    ['empty SQL', t.text().defaultSql(' '), /SQL expression/],
    ['numeric precision', t.numeric(0), /precision 0/],
    ['numeric scale beyond', t.numeric(3, 4), /scale 4/],
    ['numeric scale alone', t.numeric(undefined, 2), /needs a precision/],
  ])('%s', (_, column, reason) => {
    const [first = ''] = declare({ columns: { ...columns, x: column } })
    expect(first).toMatch(/^hypertable\("metrics\.cpu"\)\.columns\.x/)
    expect(first).toMatch(reason)
  })

  test('and kept in canonical form', () => {
    const { columns: made } = table('x', {
      columns: {
        a: t.timestamptz().default('2026-01-01T01:00:00+01:00'),
        b: t.int8().default('5'),
        c: t.numeric(6, 2).default(1.5),
        d: t.uuid().default('123E4567-E89B-12D3-A456-426614174000'),
        e: t.jsonb().default({ x: 1 }),
        f: t.timestamptz().defaultSql(' now() '),
      },
    })
    expect(Object.values(made).map((c) => c.default)).toEqual([
      { kind: 'value', value: 1_767_225_600_000_000n },
      { kind: 'value', value: 5n },
      { kind: 'value', value: '1.50' },
      { kind: 'value', value: '123e4567-e89b-12d3-a456-426614174000' },
      { kind: 'value', value: { x: 1 } },
      { kind: 'sql', expression: 'now()' },
    ])
  })
})

describe('a view', () => {
  test('is plain SQL with a name', () => {
    expect(view('analytics.v', ' select 1;\n')).toEqual({
      kind: 'view',
      name: 'analytics.v',
      schema: 'analytics',
      table: 'v',
      sql: 'select 1',
      columns: null,
      comment: null,
    })
    for (const sql of ['-- note\nwith a as (select 1) select * from a', '/* x */ (select 1)', 'VALUES (1)']) {
      expect(view('v', sql).sql).toBe(sql)
    }
  })
  test('that is none is refused', () => {
    expect(problemsOf(() => view('v', ''))[0]).toBe('view("v").sql: must be a SELECT')
    expect(problemsOf(() => view('v', 'create view v as select 1'))[0]).toMatch(/must begin with select/)
    expect(problemsOf(() => view('v', 'drop table x'))[0]).toMatch(/must begin with select/)
    expect(problemsOf(() => view('a.b.c', 'select 1', { colums: {} } as never))).toHaveLength(2)
  })
})

describe('a configuration', () => {
  const cpu = hypertable('metrics.cpu', { columns, time: 'time' })
  const config = (options: object) =>
    problemsOf(() => defineConfig({ datasets: [cpu], ...options } as never), 'TM_CONFIG')

  test('has documented defaults, and is frozen', () => {
    const made = defineConfig({ datasets: [cpu] })
    expect(made).toEqual({
      datasets: [cpu],
      views: [],
      aggregates: [],
      database: { url: null, dir: '.tidemark/postgres', maxConnections: 10 },
      lake: {
        dir: '.tidemark/lake',
        memoryBytes: null,
        threads: null,
        keepDroppedMs: 7 * 86_400_000,
        keepStrayMs: 86_400_000,
        summaryShare: 0.03,
        summaryMemoryBytes: 32 * 1024 * 1024,
      },
      cache: {
        memoryBytes: 64 * 1024 * 1024,
        redis: null,
        layers: {
          dashboard: { ttlMs: 300_000, staleMs: 300_000, memoryBytes: 16 * 1024 * 1024 },
          lists: { ttlMs: 600_000, staleMs: 600_000, memoryBytes: 16 * 1024 * 1024 },
          reports: { ttlMs: 86_400_000, staleMs: 0, memoryBytes: 32 * 1024 * 1024 },
          sessions: { ttlMs: 1_800_000, staleMs: 0, memoryBytes: 4 * 1024 * 1024 },
        },
      },
      boards: [],
      shadow: { share: 0, timeoutMs: 10_000 },
      ingest: {
        connections: 2,
        maxGroupRows: 50_000,
        maxPendingBytes: 64 * 1024 * 1024,
        maxWaitMs: 2000,
        enrich: [],
        lineProtocol: null,
        prometheus: null,
        otlp: { metrics: null, logs: null, spans: null, genAi: null },
        analytics: null,
        spool: { dir: '.tidemark/spool', maxBytes: 1_073_741_824 },
      },
      server: {
        host: '127.0.0.1',
        port: 4680,
        auth: null,
        cors: null,
        tls: null,
        rateLimit: { key: null, tenant: null, failures: { requests: 30, perMs: 60_000, burst: 30 } },
        trustProxy: false,
        hosts: [],
        dashboard: true,
        audit: { keepMs: 365 * 86_400_000 },
        live: { memoryBytes: 268_435_456, tenantShare: 0.25 },
        metrics: 'admin',
        slowQueryMs: 500,
        logValues: false,
        logLevel: 'info',
      },
      records: { requireVersion: false },
      worker: { everyMs: 10_000, enabled: true, port: null, host: '127.0.0.1' },
      limits: {
        maxRows: 100_000,
        maxAnswerBytes: 67_108_864,
        maxCells: 200_000,
        maxBuckets: 100_000,
        maxEvents: 10_000_000,
        maxRangeMs: null,
        queryTimeoutMs: 30_000,
        maxBodyBytes: 67_108_864,
      },
    })
    expect(Object.isFrozen(made) && Object.isFrozen(made.limits) && Object.isFrozen(made.datasets)).toBe(true)
  })

  test('turns memory into bytes', () => {
    const bytesOf = (memory: string | number) =>
      defineConfig({ datasets: [], lake: { memory } }).lake.memoryBytes
    expect([bytesOf('2GB'), bytesOf('1.5 gb'), bytesOf('512MB'), bytesOf(2 ** 30)]).toEqual([
      2 ** 31,
      1.5 * 2 ** 30,
      2 ** 29,
      2 ** 30,
    ])
  })

  test('turns durations into milliseconds', () => {
    const made = defineConfig({
      datasets: [cpu],
      worker: { every: '1 minute' },
      limits: { queryTimeout: '500ms', maxRange: '90 days', maxRows: 5 },
    })
    expect(made.worker.everyMs).toBe(60_000)
    expect(made.limits).toMatchObject({
      queryTimeoutMs: 500,
      maxRangeMs: 90 * 86_400_000,
      maxRows: 5,
      maxCells: 200_000,
    })
    expect(defineConfig({ datasets: [cpu], limits: { maxRange: null } }).limits.maxRangeMs).toBeNull()
  })

  test.each<[string, object, RegExp]>([
    ['an unknown section', { limts: {} }, /^config\.limts: unknown option; did you mean "limits"\?/],
    [
      'an unknown limit',
      { limits: { maxRow: 1 } },
      /^config\.limits\.maxRow: unknown option; did you mean "maxRows"\?/,
    ],
    ['no datasets', { datasets: undefined }, /^config\.datasets: must be a list/],
    [
      'a dataset that is none',
      { datasets: [{}] },
      /^config\.datasets\[0\]: must be made with table\(\) or hypertable\(\)/,
    ],
    ['a view among datasets', { datasets: [view('v', 'select 1')] }, /list it under views/],
    [
      'a table twice',
      { datasets: [cpu, cpu] },
      /"metrics\.cpu", which the hypertable metrics\.cpu has already/,
    ],
    [
      'a view over a table',
      { views: [view('metrics.cpu', 'select 1')] },
      /the view metrics\.cpu has the name "metrics\.cpu"/,
    ],
    [
      "an index with a table's name",
      { views: [view('metrics.cpu_time_idx', 'select 1')] },
      /"metrics\.cpu_time_idx"/,
    ],
    [
      'a port',
      { server: { port: 70_000 } },
      /^config\.server\.port: 70000 is not a whole number from 0 to 65535/,
    ],
    ['one connection', { database: { maxConnections: 1 } }, /^config\.database\.maxConnections: 1 is not/],
    ['a limit of zero', { limits: { maxRows: 0 } }, /^config\.limits\.maxRows: 0 is not/],
    [
      'a timeout',
      { limits: { queryTimeout: 'soon' } },
      /^config\.limits\.queryTimeout: "soon" is not an interval/,
    ],
    [
      'a timeout of null',
      { limits: { queryTimeout: null } },
      /^config\.limits\.queryTimeout: null is not an interval/,
    ],
    ['memory of no unit', { lake: { memory: '2 potatoes' } }, /^config\.lake\.memory: "2 potatoes" is not/],
    ['too little memory', { lake: { memory: '200MB' } }, /^config\.lake\.memory: .* from 256MB on/],
    ['no threads', { lake: { threads: 0 } }, /^config\.lake\.threads: 0 is not/],
    ['a share above one', { lake: { summaryShare: 2 } }, /^config\.lake\.summaryShare: 2 is not/],
    ['an empty folder', { lake: { dir: '' } }, /^config\.lake\.dir/],
    ['worker as text', { worker: { enabled: 'no' } }, /^config\.worker\.enabled: "no" is not true or false/],
  ])('with %s is refused', (_, options, reason) => {
    expect(config(options).join('\n')).toMatch(reason)
  })

  test('never shows a password', () => {
    const [problem] = config({ database: { url: 'mysql://root:secret@host/db' } })
    expect(problem).toMatch(/^config\.database\.url/)
    expect(problem).not.toContain('secret')
  })
})
