import { describe, expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import {
  canonicalFilter,
  count,
  first,
  materializationOf,
  max,
  percentile,
  sum,
  uniques,
} from '../../src/query/index.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'

const columns = {
  time: t.timestamptz(),
  tenant: t.text(),
  model: t.text(),
  status: t.text().nullable(),
  userId: t.int8().nullable(),
  latencyMs: t.float8(),
  properties: t.jsonb().nullable(),
  seen: t.timestamptz().nullable(),
}
const requests = hypertable('metrics.requests', {
  columns,
  time: 'time',
  tenant: 'tenant',
  retain: '90 days',
})
const plain = hypertable('metrics.plain', { columns, time: 'time' })
const models = table('metrics.models', {
  columns: { model: t.text(), vendor: t.text() },
  primaryKey: ['model'],
})
const hourly = continuousAggregate('aggregates.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model', 'properties.plan'],
  where: { status: 'ok' },
  select: {
    n: count(),
    p95: percentile('latencyMs', 0.95),
    users: uniques('userId'),
    slow: count({ where: { latencyMs: { gt: 1000 } } }),
  },
})

/** As JavaScript writes it, where no compiler looks. */
const declare = continuousAggregate as unknown as (name: unknown, options: unknown) => unknown
const problemsOf = (options: unknown, name: unknown = 'aggregates.bad'): string => {
  try {
    declare(name, options)
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'TM_DECLARATION') return error.message
    throw error
  }
  return 'none'
}
const good = { from: requests, bucket: '1 hour', select: { n: { fn: 'count' } } }

describe('a declared aggregate', () => {
  it('is frozen data with its defaults', () => {
    const plainest = continuousAggregate('hourly', { from: plain, bucket: '1 hour', select: { n: count() } })
    expect(plainest).toMatchObject({
      kind: 'aggregate',
      name: 'public.hourly',
      schema: 'public',
      table: 'hourly',
      by: [],
      where: null,
      retain: null,
      comment: null,
      dimensions: {},
      select: { n: { fn: 'count' } },
      refresh: { every: { text: '1 minute' } },
      bucket: { every: { text: '1 hour' }, zone: null },
    })
    expect(plainest.base).toBe(plain)
    for (const part of [
      plainest,
      plainest.by,
      plainest.select,
      plainest.select.n,
      plainest.bucket,
      plainest.refresh,
    ])
      expect(Object.isFrozen(part)).toBe(true)
  })

  it('has the tenant as its first key', () => {
    expect(materializationOf(hourly).keys.map(({ name }) => name)).toEqual([
      'tenant',
      'model',
      'properties.plan',
    ])
  })

  it('over another one is folded: filters are joined, outputs may be named, the base is the hypertable', () => {
    const daily = continuousAggregate('aggregates.daily', {
      from: hourly,
      bucket: '1 day',
      by: ['model'],
      where: { model: { in: ['a', 'b'] } },
      select: { n: 'n', median: percentile('latencyMs', 0.5), slow: 'slow' },
    })
    const yearly = continuousAggregate('aggregates.monthly', {
      from: daily,
      bucket: '1 month',
      select: { slow: 'slow', users: 'n' },
    })
    const direct = continuousAggregate('aggregates.direct', {
      from: requests,
      bucket: '1 day',
      by: ['model'],
      where: { status: 'ok', model: { in: ['a', 'b'] } },
      select: {
        n: count(),
        median: percentile('latencyMs', 0.5),
        slow: count({ where: { latencyMs: { gt: 1000 } } }),
      },
    })
    expect(daily.base).toBe(requests)
    expect(yearly.base).toBe(requests)
    expect(yearly.select).toEqual({ slow: direct.select.slow, users: { fn: 'count' } })
    const of = (d: Parameters<typeof materializationOf>[0]) => {
      const { where, states, keys } = materializationOf(d)
      return { where: canonicalFilter(where), states, keys }
    }
    expect(of(daily)).toEqual(of(direct))
    expect(canonicalFilter(materializationOf(yearly).where)).toBe(
      canonicalFilter(materializationOf(direct).where),
    )
  })

  it('keeps times, large numbers and odd floats of filters as JSON that means the same', () => {
    const kept = continuousAggregate('a.b', {
      from: plain,
      bucket: '1 hour',
      where: {
        seen: { gte: new Date('2026-01-01T00:00:00Z'), lt: 1_800_000_000_000_001n },
        userId: { in: [9_007_199_254_740_993n, 3] },
        $or: [{ latencyMs: { gt: Number.NEGATIVE_INFINITY } }, { 'properties.a\\.b': { like: 'x%' } }],
        $not: { status: null, model: { ne: 'a' } },
      },
      select: { n: count({ where: { seen: { not: null } } }), newest: max('seen') },
    })
    expect(JSON.parse(JSON.stringify(kept.where))).toEqual(kept.where)
    expect(JSON.stringify(kept.where)).toContain('9007199254740993')
    expect(JSON.stringify(kept.where)).toContain('2026-01-01T00:00:00Z')
    expect(materializationOf(kept).where).not.toBeNull()
  })
})

describe('a declaration that cannot be kept is refused', () => {
  it.each([
    [
      'a column that is not there',
      { ...good, by: ['modle'] },
      /\.by\[0\]: .*no column "modle"; did you mean "model"/,
    ],
    [
      'a column that is not there in an aggregate',
      { ...good, select: { n: { fn: 'sum', column: 'latency' } } },
      /\.select\.n\.column: .*did you mean "latencyMs"/,
    ],
    [
      'a function that is not there',
      { ...good, select: { n: { fn: 'median', column: 'latencyMs' } } },
      /\.select\.n\.fn: there is no function/,
    ],
    [
      'a function that does not take the column',
      { ...good, select: { n: { fn: 'sum', column: 'model' } } },
      /\.select\.n\.column: sum takes/,
    ],
    ['a bucket that does not parse', { ...good, bucket: '1 fortnight' }, /\.bucket: .*unknown unit/],
    ['no bucket', { ...good, bucket: undefined }, /\.bucket: /],
    [
      'a zone that is not there',
      { ...good, bucket: { every: '1 day', zone: 'Europe/Atlantis' } },
      /\.bucket\.zone: .*not a time zone/,
    ],
    [
      'a bucket that its zone cannot have',
      { ...good, bucket: { every: '7 hours', zone: 'Europe/Berlin' } },
      /divide 24 hours evenly/,
    ],
    ['a bucket of a moment', { ...good, bucket: '10ms' }, /shorter than a second/],
    [
      'a bucket that the rows do not outlive',
      { ...good, bucket: '1 year' },
      /\.bucket: '1 year' is longer than the rows of metrics\.requests stay \('90 days'\)/,
    ],
    [
      'a filter relative to now',
      { ...good, where: { $or: [{ seen: { gt: '-1 day' } }] } },
      /\.where: .*relative to now/,
    ],
    ['a filter of now', { ...good, where: { seen: { lt: 'now' } } }, /relative to now/],
    [
      'a relative filter of one aggregate',
      { ...good, select: { n: { fn: 'count', where: { seen: { lt: 'now' } } } } },
      /\.select\.n\.where: .*relative to now/,
    ],
    ['a wrong filter', { ...good, where: { status: { gt: null } } }, /\.where\.status\.gt: null is neither/],
    ['the tenant by name', { ...good, by: ['tenant'] }, /\.by\[0\]: "tenant" is the tenant/],
    ['the time as a key', { ...good, by: ['time'] }, /\.by\[0\]: "time" is the time/],
    ['a key twice', { ...good, by: ['model', 'model'] }, /\.by\[1\]: "model" is there twice/],
    ['a jsonb key', { ...good, by: ['properties'] }, /\.by\[0\]: "properties" is jsonb/],
    [
      'an output named bucket',
      { ...good, select: { bucket: { fn: 'count' } } },
      /\.select\.bucket: "bucket" is the name of the time bucket/,
    ],
    [
      'an output named as a key',
      { ...good, by: ['model'], select: { model: { fn: 'count' } } },
      /\.select\.model: "model" is already a name in by/,
    ],
    ['an output named as the tenant', { ...good, select: { tenant: { fn: 'count' } } }, /\.select\.tenant: /],
    ['an output with a long name', { ...good, select: { ['ä'.repeat(32)]: { fn: 'count' } } }, /64 bytes/],
    ['an output with a dot', { ...good, select: { 'a.b': { fn: 'count' } } }, /must not hold a dot/],
    [
      'too many outputs',
      {
        ...good,
        select: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`n${i}`, { fn: 'count' }])),
      },
      /101, over the limit of 100/,
    ],
    ['no outputs', { ...good, select: {} }, /\.select: it is empty/],
    ['nothing below it', { ...good, from: undefined }, /\.from: must be a hypertable/],
    ['a plain table below it', { ...good, from: models }, /\.from: .*plain table, which has no time/],
    ['an unknown option', { ...good, refreshEvery: '1 minute' }, /\.refreshEvery: unknown option/],
    ['a refresh that is no length', { ...good, refresh: { every: 'often' } }, /\.refresh\.every: /],
    ['a refresh by the calendar', { ...good, refresh: { every: '1 month' } }, /\.refresh\.every: .*fixed/],
    [
      'cells that go before they are whole',
      { ...good, bucket: '1 day', retain: '1 hour' },
      /\.retain: '1 hour' is shorter than a bucket/,
    ],
    ['a long key', { ...good, by: [`properties.${'x'.repeat(60)}`] }, /over 63 bytes/],
  ])('%s', (_, options, expected) => expect(problemsOf(options)).toMatch(expected))

  it.each([
    ['a name of PostgreSQL', 'pg_catalog.x', /belongs to PostgreSQL/],
    ['a name of Tidemark', 'tidemark_aggregates.x', /belongs to Tidemark/],
    ['a name with 64 bytes', `a.${'x'.repeat(64)}`, /63/],
  ])('%s', (_, name, expected) => expect(problemsOf(good, name)).toMatch(expected))

  it('with all problems at once, each with its path', () => {
    const message = problemsOf({
      ...good,
      bucket: '1 fortnight',
      by: ['nope', 'model', 'neither'],
      where: { nowhere: 1 },
      select: { a: { fn: 'x' }, b: 7 },
      retain: 'long',
    })
    for (const path of [
      '.bucket',
      '.by[0]',
      '.by[2]',
      '.where.nowhere',
      '.select.a.fn',
      '.select.b',
      '.retain',
    ])
      expect(message).toContain(`${path}`)
  })
})

describe('over another aggregate is refused', () => {
  const over = { from: hourly, bucket: '1 day', select: { n: 'n' } }
  it.each([
    [
      'a bucket that is not made of whole ones',
      { ...over, bucket: '90 minutes' },
      /\.bucket: '90 minutes' is no multiple of aggregates\.hourly's bucket of '1 hour'/,
    ],
    [
      'a day of a zone that does not begin on the hour',
      { ...over, bucket: { every: '1 day', zone: 'Asia/Kolkata' } },
      /\.bucket: .*inside of aggregates\.hourly's bucket of '1 hour'/,
    ],
    [
      'a day of a zone that is half an hour off in winter',
      { ...over, bucket: { every: '1 day', zone: 'Australia/Lord_Howe' } },
      /\.bucket: /,
    ],
    ['a shorter bucket', { ...over, bucket: '1 minute' }, /\.bucket: /],
    [
      'a key that is not kept',
      { ...over, by: ['status'] },
      /\.by\[0\]: "status" is no key of aggregates\.hourly/,
    ],
    [
      'a filter on what is not kept',
      { ...over, where: { latencyMs: { gt: 1 } } },
      /\.where: "latencyMs" is no key/,
    ],
    ['a filter on a path', { ...over, where: { 'properties.plan': 'pro' } }, /\.where: .*kept as text/],
    [
      'a state that is not kept',
      { ...over, select: { total: sum('latencyMs') } },
      /\.select\.total: aggregates\.hourly does not keep/,
    ],
    [
      'a state that is kept of other rows',
      { ...over, select: { slow: count({ where: { latencyMs: { gt: 999 } } }) } },
      /\.select\.slow: /,
    ],
    [
      'an output that is not there',
      { ...over, select: { n: 'm' } },
      /\.select\.n: aggregates\.hourly has no output "m"; did you mean "n"/,
    ],
  ])('%s', (_, options, expected) => expect(problemsOf(options)).toMatch(expected))

  it('a text as an aggregate of a hypertable', () => {
    expect(problemsOf({ ...good, select: { n: 'n' } })).toMatch(/\.select\.n: "n" is not an aggregate/)
  })

  it('one that stands on itself', () => {
    const circle: Record<string, unknown> = { ...hourly }
    circle['from'] = circle
    expect(problemsOf({ ...over, from: circle })).toMatch(/\.from: .*stands on itself/)
  })

  it('one made by hand, whose base is another table', () => {
    expect(problemsOf({ ...over, from: { ...hourly, base: plain } })).toMatch(/\.from: the base of/)
  })

  it('but half an hour fits into the days of both', () => {
    const half = continuousAggregate('a.half', {
      from: requests,
      bucket: '30 minutes',
      select: { n: count(), first: first('model') },
    })
    for (const zone of ['Asia/Kolkata', 'Australia/Lord_Howe'])
      expect(problemsOf({ from: half, bucket: { every: '1 day', zone }, select: { n: 'n' } })).toBe('none')
  })
})

describe('a dimension', () => {
  const with_ = (dimension: unknown, over: object = {}) => ({
    ...good,
    by: ['model', 'userId'],
    dimensions: { vendor: dimension },
    ...over,
  })
  const vendor = { table: models, on: { model: 'model' }, column: 'vendor' }

  it('is a column of a plain table, found by keys', () => {
    const { dimensions } = continuousAggregate('a.b', {
      from: requests,
      bucket: '1 hour',
      by: ['model'],
      select: { n: count() },
      dimensions: { vendor: { table: models, on: { model: 'model' }, column: 'vendor' } },
    })
    expect(dimensions).toEqual({
      vendor: { table: 'metrics.models', on: { model: 'model' }, column: 'vendor', source: models },
    })
  })

  it.each([
    [
      'a column that is not there',
      with_({ ...vendor, column: 'vendro' }),
      /\.dimensions\.vendor\.column: .*did you mean "vendor"/,
    ],
    ['no table', with_({ ...vendor, table: 'models' }), /\.dimensions\.vendor\.table: /],
    ['a hypertable', with_({ ...vendor, table: requests }), /must be a plain table/],
    [
      'a key of another type',
      with_({ ...vendor, on: { model: 'userId' } }),
      /"model" is text, and the key "userId" is int8/,
    ],
    ['a key that is none', with_({ ...vendor, on: { model: 'status' } }), /status is no key/],
    ['no key', with_({ ...vendor, on: {} }), /\.on\.model: is missing/],
    [
      'a column that is not in the primary key',
      with_({ ...vendor, on: { model: 'model', vendor: 'model' } }),
      /\.on\.vendor: is not in the primary key/,
    ],
    [
      'the name of a key',
      { ...good, by: ['model'], dimensions: { model: vendor } },
      /\.dimensions\.model: "model" is already a name in by/,
    ],
  ])('is refused with %s', (_, options, expected) => expect(problemsOf(options)).toMatch(expected))

  it('of a table with tenants is found by the tenant', () => {
    const users = table('metrics.users', {
      columns: { tenant: t.text(), id: t.int8(), country: t.text().nullable() },
      primaryKey: ['tenant', 'id'],
      tenant: 'tenant',
    })
    expect(
      problemsOf(with_({ table: users, on: { tenant: 'tenant', id: 'userId' }, column: 'country' })),
    ).toBe('none')
    expect(
      problemsOf(with_({ table: users, on: { tenant: 'model', id: 'userId' }, column: 'country' })),
    ).toMatch(/only the tenant of metrics\.requests/)
  })
})
