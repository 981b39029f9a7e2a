import { describe, expect, it } from 'vitest'
import {
  canonicalFilter,
  count,
  defaultQueryLimits,
  type FilterNode,
  outputColumns,
  parseQuery,
  percentile,
  type QueryNode,
  queryLimits,
  sum,
} from '../../src/query/index.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    status: t.text(),
    user: t.uuid().nullable(),
    ok: t.bool(),
    latencyMs: t.float8(),
    tokens: t.int4(),
    small: t.int2(),
    bytes: t.int8(),
    ratio: t.float4(),
    cost: t.numeric(),
    day: t.date(),
    seen: t.timestamptz().nullable(),
    properties: t.jsonb().nullable(),
    labels: t.textArray(),
  },
  time: 'time',
})
const plain = table('app.models', { columns: { id: t.int4(), name: t.text() }, primaryKey: ['id'] })

const clock = fixedClock(parseInstant('2026-03-01T12:00:00Z'))
const parse = (
  input: unknown,
  dataset: typeof requests | typeof plain = requests,
  limits = defaultQueryLimits,
): QueryNode => parseQuery(input, { dataset, clock, limits })
const n = { n: { fn: 'count' } }

function where(input: unknown): FilterNode | null {
  return parse({ where: input }).where
}

/** `path: problem` of the error. */
function problem(input: unknown, dataset: typeof requests | typeof plain = requests): string {
  try {
    parse(input, dataset)
  } catch (error) {
    if (error instanceof TidemarkError) return `${error.code} ${error.message}`
    throw error
  }
  return 'nothing is wrong'
}

const ref = (column: string, ...path: string[]) => ({ column, path })

describe('parsing a query', () => {
  it('tells the three kinds apart', () => {
    expect(parse({ select: n }).kind).toBe('aggregate')
    expect(parse({ latestBy: ['model'] }).kind).toBe('latest')
    expect(parse({})).toMatchObject({
      kind: 'rows',
      limit: 1000,
      direction: 'asc',
      range: null,
      cursor: null,
    })
    expect(problem({ select: n, latestBy: ['model'] })).toBe(
      'TM_QUERY latestBy: select and latestBy are two kinds of query; ask for one of them',
    )
    expect(problem(null)).toContain('query: null is not a query')
    expect(problem([])).toContain('query: [] is not a query')
  })

  it('takes the same from a builder and from JSON, frozen to the ground', () => {
    const built = parse({
      select: { n: count({ where: { ok: true } }), p: percentile('latencyMs', 0.95), s: sum('tokens') },
    })
    const json = parse({
      select: {
        n: { fn: 'count', where: { ok: true } },
        p: { fn: 'percentile', column: 'latencyMs', q: 0.95 },
        s: { fn: 'sum', column: 'tokens' },
      },
    })
    expect(built).toEqual(json)
    const walk = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      expect(Object.isFrozen(value)).toBe(true)
      for (const inner of Object.values(value)) walk(inner)
    }
    walk(built)
    expect(JSON.parse(JSON.stringify(count({ where: { ok: true } })))).toEqual({
      fn: 'count',
      where: { ok: true },
    })
  })

  it('resolves relative, absolute and open ends of the range', () => {
    const at = (text: string) => parseInstant(text)
    expect(parse({ from: '-1 day', to: 'now' }).range).toEqual({
      from: at('2026-02-28T12:00:00Z'),
      to: at('2026-03-01T12:00:00Z'),
    })
    expect(parse({ from: '2026-01-01', to: new Date(1_790_000_000_000) }).range).toEqual({
      from: at('2026-01-01T00:00:00Z'),
      to: 1_790_000_000_000_000n,
    })
    expect(parse({ from: 5n }).range?.from).toBe(5n)
    expect(parse({ from: null, to: null }).range).toBeNull()
    expect(problem({ from: '2026-01-02', to: '2026-01-01' })).toBe(
      'TM_QUERY from: the range is empty: 2026-01-02T00:00:00Z is not before 2026-01-01T00:00:00Z (to is not part of it)',
    )
    expect(problem({ from: 'yesterdayish' })).toMatch(/^TM_QUERY from: "yesterdayish"/)
    expect(problem({ to: 'last week' })).toMatch(/"last week" is not a time; write .* relative: '-30 days'$/)
    expect(problem({ from: 'yesterday-ish' })).toMatch(/write .* relative: '-30 days'$/)
    expect(problem({ to: '2026-01-01T00:00:00' })).toMatch(/^TM_QUERY to: /)
    expect(problem({ from: 12 })).toMatch(/^TM_QUERY from: 12 is not a time/)
    expect(problem({ from: '2026-01-01' }, plain)).toBe(
      'TM_QUERY from: app.models is a plain table and has no time',
    )
  })

  it('reads buckets and their zones', () => {
    expect(parse({ bucket: '15m', select: n })).toMatchObject({
      bucket: { every: { kind: 'fixed', micros: 900_000_000n }, zone: null },
    })
    expect(parse({ bucket: '1 month', zone: 'Europe/Berlin', select: n })).toMatchObject({
      bucket: { every: { months: 1 }, zone: 'Europe/Berlin' },
    })
    expect(problem({ bucket: 'often', select: n })).toMatch(/^TM_QUERY bucket: "often"/)
    expect(problem({ bucket: 60, select: n })).toBe('TM_QUERY bucket: 60 is not a length such as "1 hour"')
    expect(problem({ bucket: '1 hour', zone: 'Mars/Base', select: n })).toMatch(/^TM_QUERY zone: /)
    expect(problem({ zone: 'UTC', select: n })).toBe(
      'TM_QUERY zone: a zone has a meaning only together with bucket, from or to',
    )
    expect(problem({ bucket: '1 hour', select: n }, plain)).toContain('bucket: app.models is a plain table')
    expect(problem({ bucket: '1 hour' })).toBe('TM_QUERY bucket: this belongs to a query with select')
  })

  it('turns every form of a condition into its node', () => {
    const model = ref('model')
    const a: FilterNode = { kind: 'compare', ref: model, operator: 'eq', value: 'a' }
    expect(where({ model: 'a' })).toEqual(a)
    expect(where({ model: { eq: 'a' } })).toEqual(a)
    expect(where({ model: { ne: null } })).toEqual({ kind: 'not', filter: { kind: 'isNull', ref: model } })
    expect(where({ model: { not: null } })).toEqual({ kind: 'not', filter: { kind: 'isNull', ref: model } })
    expect(where({ model: { not: 'a' } })).toEqual({ kind: 'not', filter: a })
    expect(where({ model: { not: { like: 'a%' } } })).toEqual({
      kind: 'not',
      filter: { kind: 'like', ref: model, pattern: 'a%', caseInsensitive: false },
    })
    expect(where({ model: null })).toEqual({ kind: 'isNull', ref: model })
    expect(where({ model: { in: ['a', 'b'] } })).toEqual({ kind: 'in', ref: model, values: ['a', 'b'] })
    expect(where({ model: { notIn: [] } })).toEqual({
      kind: 'not',
      filter: { kind: 'in', ref: model, values: [] },
    })
    expect(where({ labels: { contains: 'x' } })).toEqual({ kind: 'contains', ref: ref('labels'), value: 'x' })
    expect(where({ latencyMs: { gte: 10, lt: 20 }, model: 'a' })).toEqual({
      kind: 'and',
      filters: [
        { kind: 'compare', ref: ref('latencyMs'), operator: 'gte', value: 10 },
        { kind: 'compare', ref: ref('latencyMs'), operator: 'lt', value: 20 },
        a,
      ],
    })
    expect(where({ $or: [{ model: 'a' }, {}], $not: { model: 'a' } })).toEqual({
      kind: 'and',
      filters: [
        { kind: 'or', filters: [a, { kind: 'and', filters: [] }] },
        { kind: 'not', filter: a },
      ],
    })
    expect(where({})).toBeNull()
    expect(where(undefined)).toBeNull()
  })

  it('finds paths, also with dots in their keys', () => {
    expect(where({ 'properties.plan.name': 'x' })).toMatchObject({ ref: ref('properties', 'plan', 'name') })
    expect(where({ 'properties.a\\.b.c\\\\': 'x' })).toMatchObject({ ref: ref('properties', 'a.b', 'c\\') })
    expect(problem({ where: { 'properties..x': 1 } })).toContain('has an empty key')
    expect(problem({ where: { 'properties.x\\': 1 } })).toContain('ends with a backslash')
    expect(problem({ where: { 'model.x': 1 } })).toContain('"model" is text; only a jsonb column has paths')
    expect(problem({ where: { properties: 'x' } })).toContain(
      'compare a path inside of it, such as "properties.key", or null',
    )
  })

  it('puts values into the form of their column', () => {
    const value = (condition: Record<string, unknown>): unknown =>
      (where(condition) as { value: unknown }).value
    expect(value({ bytes: 5 })).toBe(5n)
    expect(value({ bytes: '9223372036854775807' })).toBe(9223372036854775807n)
    expect(value({ tokens: 5n })).toBe(5)
    expect(value({ tokens: '5' })).toBe(5)
    expect(value({ ratio: 0.1 })).toBe(Math.fround(0.1))
    expect(value({ latencyMs: 'NaN' })).toBeNaN()
    expect(value({ latencyMs: '1e3' })).toBe(1000)
    expect(value({ cost: 1e21 })).toBe('1000000000000000000000')
    expect(value({ cost: '01.50' })).toBe('1.5')
    expect(value({ cost: -0 })).toBe('0')
    expect(value({ user: 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' })).toBe(
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    )
    expect(value({ seen: '2026-01-01T00:00:00.000001Z' })).toBe(1_767_225_600_000_001n)
    expect(value({ seen: '-1 hour' })).toBe(parseInstant('2026-03-01T11:00:00Z'))
    expect(value({ seen: new Date(5) })).toBe(5000n)
    expect(value({ seen: 'infinity' })).toBe(2n ** 63n - 1n)
    expect(value({ day: '2024-02-29' })).toBe('2024-02-29')
    expect(value({ 'properties.x': 5 })).toBe(5)
  })

  it('refuses values that do not fit, with their path', () => {
    const cases: [Record<string, unknown>, string][] = [
      [{ latencyMs: { gte: 'abc' } }, 'where.latencyMs.gte: "abc" is not a number'],
      [{ latencyMs: true }, 'where.latencyMs: true is not a number'],
      [{ tokens: 1.5 }, 'where.tokens: 1.5 is not a whole number'],
      [{ tokens: 3_000_000_000 }, 'where.tokens: 3000000000 is outside of int4, -2147483648 to 2147483647'],
      [{ small: 40_000n }, 'where.small: 40000 is outside of int2, -32768 to 32767'],
      [
        { bytes: 2 ** 60 },
        'where.bytes: 1152921504606847000 is beyond 2^53 and may have been rounded; give it as a string or bigint',
      ],
      [{ ok: 'true' }, 'where.ok: "true" is not true or false'],
      [{ user: 'me' }, 'where.user: "me" is not a uuid'],
      [{ day: '2023-02-29' }, 'where.day: "2023-02-29" is not a day of the calendar'],
      [{ day: '2026-1-1' }, 'where.day: "2026-1-1" is not a date (YYYY-MM-DD)'],
      [{ cost: 'much' }, 'where.cost: "much" is not a number'],
      [{ model: 5 }, 'where.model: 5 is not text'],
      [{ model: 'a\0' }, 'where.model: PostgreSQL text cannot hold the character U+0000'],
      [{ model: '\uD800' }, 'where.model: the text holds half a surrogate pair, which is no character'],
      [{ model: ['a'] }, 'where.model: a list is not a value; write { in: [ … ] }'],
      [{ model: { in: 'a' } }, 'where.model.in: "a" is not a list of values'],
      [
        { model: { in: ['a', null] } },
        'where.model.in[1]: null is equal to nothing; write $or: [{ … in … }, { column: null }]',
      ],
      [{ model: { gt: null } }, 'where.model.gt: null is neither above nor below anything'],
      [{ model: {} }, 'where.model: the condition is empty'],
      [{ model: { likes: 'a' } }, 'where.model.likes: there is no operator "likes"; did you mean "like"?'],
      [
        { model: { like: 'a\\' } },
        'where.model.like: the pattern ends with a backslash, which has nothing to escape',
      ],
      [
        { tokens: { like: 'a' } },
        'where.tokens.like: patterns need a text column or a JSON path, and this is int4',
      ],
      [
        { model: { contains: 'a' } },
        'where.model.contains: contains needs a text[] column, and this is text',
      ],
      [{ labels: 'a' }, 'where.labels: a text[] column takes contains, or null'],
      [{ 'properties.x': { eq: [1] } }, 'where.properties.x.eq: [1] is not a JSON string, number or boolean'],
      [{ modle: 'a' }, 'where.modle: metrics.requests has no column "modle"; did you mean "model"?'],
      [{ $xor: [] }, 'where.$xor: there is no "$xor"; did you mean "$or"?'],
      [{ $or: { model: 'a' } }, 'where.$or: {"model":"a"} is not a list of filters'],
      [{ $and: [] }, 'where.$and: the list is empty; leave it out, or give it a filter'],
      [{ $or: [{ model: 'a' }, { $not: { model: 1 } }] }, 'where.$or[1].$not.model: 1 is not text'],
    ]
    for (const [condition, text] of cases) expect(problem({ where: condition })).toBe(`TM_QUERY ${text}`)
    expect(problem({ where: 'model = 1' })).toBe(
      'TM_QUERY where: "model = 1" is not a filter such as { status: "ok" }',
    )
  })

  it('refuses what cannot be selected, with its path', () => {
    const select = (aggregate: unknown): string => problem({ select: { x: aggregate } })
    expect(select({ fn: 'summ', column: 'tokens' })).toBe(
      'TM_QUERY select.x.fn: there is no function "summ"; did you mean "sum"?',
    )
    expect(select({ fn: 'sum' })).toBe('TM_QUERY select.x: sum needs a column')
    expect(select({ fn: 'sum', column: 'model' })).toBe(
      'TM_QUERY select.x.column: sum takes a column of numbers (int2, int4, int8, float4, float8, numeric) or a JSON ' +
        'number; "model" is text',
    )
    expect(select({ fn: 'sum', column: 'latency' })).toMatch(
      /has no column "latency"; did you mean "latencyMs"\?/,
    )
    expect(select({ fn: 'max', column: 'properties' })).toContain('aggregate a path inside of it')
    expect(select({ fn: 'percentile', column: 'tokens', q: 95 })).toBe(
      'TM_QUERY select.x.q: 95 is not a share from 0 to 1 (0.95 for the 95th percentile)',
    )
    expect(select({ fn: 'percentile', column: 'tokens' })).toContain('select.x.q: undefined is not a share')
    expect(select({ fn: 'histogram', column: 'tokens', borders: [1, 1] })).toBe(
      'TM_QUERY select.x.borders[1]: borders must ascend',
    )
    expect(select({ fn: 'histogram', column: 'tokens', borders: [] })).toContain(
      'select.x.borders: the list is empty',
    )
    expect(select({ fn: 'sum', column: 'tokens', q: 0.5 })).toBe(
      'TM_QUERY select.x.q: there is no "q"; there are: fn, column, where',
    )
    expect(select('count')).toContain('select.x: "count" is not an aggregate')
    expect(select({ fn: 'count', where: { tokens: 'x' } })).toBe(
      'TM_QUERY select.x.where.tokens: "x" is not a whole number',
    )
    expect(problem({ select: {} })).toContain('select: it is empty')
    expect(problem({ select: { '-n': { fn: 'count' } } })).toContain('select.-n: a name begins with a letter')
    expect(problem(JSON.parse('{"select":{"__proto__":{"fn":"count"}}}'))).toContain(
      'a name begins with a letter',
    )
    expect(problem({ by: ['model'], select: { model: { fn: 'count' } } })).toBe(
      'TM_QUERY select.model: "model" is already the name of a bucket or group',
    )
    expect(problem({ select: { first: { fn: 'first', column: 'name' } } }, plain)).toContain(
      'first needs a time',
    )
    expect(problem({ by: ['model', 'model'], select: n })).toContain('by[1]')
    expect(problem({ by: 'model', select: n })).toBe('TM_QUERY by: "model" is not a list')
    expect(problem({ by: ['properties'], select: n })).toContain('group by a path inside of it')
    expect(problem({ columns: [] })).toContain('columns: the list is empty')
    expect(problem({ columns: ['properties.x'] })).toContain('ask for the column "properties" here')
    expect(problem({ latestBy: ['properties'] })).toContain('latestBy[0]')
    expect(problem({ direction: 'up' })).toBe('TM_QUERY direction: "up" is not asc or desc')
    expect(problem({ sellect: n })).toBe(
      'TM_QUERY sellect: there is no "sellect"; there are: from, to, zone, where, columns, direction, limit, cursor',
    )
  })

  it('checks having, order, limit and fill against the outputs', () => {
    const base = {
      bucket: '1 hour',
      by: ['properties.plan'],
      select: {
        ...n,
        top: { fn: 'max', column: 'bytes' },
        name: { fn: 'last', column: 'model' },
        bars: { fn: 'histogram', column: 'tokens', borders: [1] },
      },
    }
    const node = parse({
      ...base,
      having: { top: { gt: 5 }, 'properties.plan': 'pro', bucket: { gte: '2026-01-01' } },
      order: ['-top', 'bucket', '-properties.plan'],
    })
    expect(node).toMatchObject({
      having: {
        filters: [
          { ref: ref('top'), value: 5n },
          { ref: ref('properties.plan'), value: 'pro' },
          { ref: ref('bucket'), value: parseInstant('2026-01-01T00:00:00Z') },
        ],
      },
      order: [
        { by: 'top', direction: 'desc' },
        { by: 'bucket', direction: 'asc' },
        { by: 'properties.plan', direction: 'desc' },
      ],
    })
    expect(problem({ ...base, having: { nn: 1 } })).toBe(
      'TM_QUERY having.nn: the query has no output "nn"; did you mean "n"?',
    )
    expect(problem({ ...base, having: { bars: 1 } })).toContain(
      'having.bars: a list (histogram) cannot be compared',
    )
    expect(problem({ ...base, order: ['tokens'] })).toContain('order[0]: the query has no output "tokens"')
    expect(problem({ ...base, order: ['n', '-n'] })).toBe('TM_QUERY order[1]: "n" is there twice')
    expect(problem({ ...base, order: ['bars'] })).toBe(
      'TM_QUERY order[0]: "bars" is a list (histogram), which has no order',
    )
    expect(problem({ ...base, limit: 0 })).toBe('TM_QUERY limit: 0 is not a whole number above 0')
    expect(problem({ ...base, limit: '5' })).toContain('limit: "5" is not a whole number')
    expect(problem({ ...base, limit: 1_000_000 })).toMatch(
      /^TM_LIMIT limit is 1000000, over the limit of 100000; .*limits\.maxRows/,
    )
    expect(problem({ ...base, fill: 'linear' })).toBe(
      'TM_QUERY fill: no line can be drawn through "name" (text); use "previous" or "null"',
    )
    expect(problem({ ...base, fill: { constant: 0 } })).toBe(
      'TM_QUERY fill.constant: 0 does not fit "name", which is text',
    )
    expect(problem({ ...base, fill: 'zero' })).toContain(
      'fill: "zero" is not none, null, previous, linear or { constant: 0 }',
    )
    expect(problem({ ...base, bucket: null, fill: 'null' })).toContain(
      'fill: there are gaps to fill only between buckets',
    )
    const numbers = { bucket: '1 hour', select: { ...n, top: { fn: 'max', column: 'bytes' } } }
    expect(parse({ ...numbers, fill: { constant: 0 } })).toMatchObject({
      fill: { kind: 'constant', value: 0 },
    })
    expect(problem({ ...numbers, fill: { constant: 0.5 } })).toContain('0.5 does not fit "n", which is count')
  })

  it('says the type of each output', () => {
    const node = parse({
      bucket: '1 hour',
      by: ['model', 'properties.plan', 'user'],
      select: {
        ...n,
        tokens: { fn: 'sum', column: 'tokens' },
        cost: { fn: 'avg', column: 'cost' },
        plan: { fn: 'max', column: 'properties.score' },
      },
    })
    expect(outputColumns(node)).toEqual([
      { name: 'bucket', type: 'timestamptz', nullable: false },
      { name: 'model', type: 'text', nullable: false },
      { name: 'properties.plan', type: 'text', nullable: true },
      { name: 'user', type: 'uuid', nullable: true },
      { name: 'n', type: 'count', nullable: false },
      { name: 'tokens', type: 'int8', nullable: true },
      { name: 'cost', type: 'numeric', nullable: true },
      { name: 'plan', type: 'float8', nullable: true },
    ])
    expect(outputColumns(parse({ columns: ['seen'] }))).toEqual([
      { name: 'seen', type: 'timestamptz', nullable: true },
    ])
  })

  it('keeps every limit', () => {
    const limits = queryLimits({
      maxSelect: 2,
      maxGroups: 1,
      maxFilterDepth: 2,
      maxFilterNodes: 4,
      maxInList: 2,
      maxTextLength: 5,
      maxBorders: 2,
      maxRangeMs: 86_400_000,
    })
    const code = (input: Record<string, unknown>): string => {
      try {
        parse({ from: '-1 day', to: 'now', ...input }, requests, limits)
      } catch (error) {
        return (error as TidemarkError).code
      }
      return 'fine'
    }
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, { fn: 'count' }]))
    expect([code({ select: many(2) }), code({ select: many(3) })]).toEqual(['fine', 'TM_LIMIT'])
    expect([code({ by: ['model'], select: n }), code({ by: ['model', 'ok'], select: n })]).toEqual([
      'fine',
      'TM_LIMIT',
    ])
    expect([
      code({ where: { $not: { ok: true } } }),
      code({ where: { $not: { $not: { ok: true } } } }),
    ]).toEqual(['fine', 'TM_LIMIT'])
    expect([
      code({ where: { tokens: { gt: 1, lt: 2, ne: 3, lte: 5 } } }),
      code({ where: { tokens: { gt: 1, lt: 2, ne: 3, lte: 5, gte: 0 } } }),
    ]).toEqual(['fine', 'TM_LIMIT'])
    expect([
      code({ where: { tokens: { in: [1, 2] } } }),
      code({ where: { tokens: { in: [1, 2, 3] } } }),
    ]).toEqual(['fine', 'TM_LIMIT'])
    expect([code({ where: { model: '12345' } }), code({ where: { model: '123456' } })]).toEqual([
      'fine',
      'TM_LIMIT',
    ])
    const bars = (borders: readonly number[]) => ({
      select: { h: { fn: 'histogram', column: 'tokens', borders } },
    })
    expect([code(bars([1, 2])), code(bars([1, 2, 3]))]).toEqual(['fine', 'TM_LIMIT'])
    expect([code({}), code({ from: '-2 days' }), code({ to: null }), code({ from: null, to: null })]).toEqual(
      ['fine', 'TM_LIMIT', 'TM_LIMIT', 'TM_QUERY'],
    )
    expect(() => queryLimits({ maxRows: 0 })).toThrow('limits.maxRows: 0 is not a whole number above 0')
    expect(() => queryLimits({ maxRow: 1 } as never)).toThrow('limits.maxRow: there is no such limit')
  })

  it.each([
    ['an aggregate', { select: { n: { fn: 'count' } } }],
    ['rows', {}],
    ['the newest rows', { latestBy: ['model'] }],
  ])('in %s a date and a time without a zone are those of the zone that is given', (_kind, kind) => {
    const range = (input: object) => parse({ ...kind, ...input }).range
    const zone = 'Europe/Berlin'
    expect(range({ from: '2017-06-01', to: '2017-12-01', zone })).toEqual({
      from: parseInstant('2017-05-31T22:00:00Z'),
      to: parseInstant('2017-11-30T23:00:00Z'),
    })
    expect(range({ from: '2017-06-01T12:00', to: '2017-06-01T12:00Z', zone })).toEqual({
      from: parseInstant('2017-06-01T10:00:00Z'),
      to: parseInstant('2017-06-01T12:00:00Z'),
    })
    expect(range({ from: '2017-06-01' })?.from).toBe(parseInstant('2017-06-01T00:00:00Z'))
    expect(problem({ ...kind, from: '2017-06-01T12:00' })).toMatch(/^TM_QUERY from: .*zone/)
    expect(problem({ ...kind, from: '2017-06-01', zone: 'Europe/Berlim' })).toMatch(/^TM_QUERY zone: /)
  })

  it('a refusal names the limit that it is of', () => {
    const limits = queryLimits({
      maxSelect: 1,
      maxGroups: 1,
      maxFilterDepth: 1,
      maxFilterNodes: 2,
      maxInList: 1,
      maxTextLength: 1,
      maxBorders: 1,
      maxRangeMs: 1,
      maxRows: 1,
    })
    const refused: Record<string, Record<string, unknown>> = {
      maxSelect: { select: { a: { fn: 'count' }, b: { fn: 'count' } } },
      maxGroups: { by: ['model', 'ok'], select: n },
      maxFilterDepth: { where: { $not: { $not: { ok: true } } } },
      maxFilterNodes: { where: { tokens: { gt: 1, lt: 2, ne: 3 } } },
      maxInList: { where: { tokens: { in: [1, 2] } } },
      maxTextLength: { where: { model: 'xy' } },
      maxBorders: { select: { h: { fn: 'histogram', column: 'tokens', borders: [1, 2] } } },
      maxRangeMs: { from: '-2 days', to: 'now' },
      maxRows: { limit: 2 },
    }
    for (const [name, input] of Object.entries(refused))
      expect(
        () =>
          parse({ from: null, ...input }, requests, {
            ...limits,
            ...(name === 'maxRangeMs' ? {} : { maxRangeMs: null }),
          }),
        name,
      ).toThrow(name)
  })

  it('answers hostile input with an error, not with a crash', () => {
    const loop: Record<string, unknown> = {}
    loop['$not'] = loop
    expect(problem({ where: loop })).toMatch(/^TM_LIMIT/)
    expect(problem(JSON.parse('{"where":{"__proto__":1}}'))).toMatch(/^TM_QUERY where\.__proto__: /)
    expect(problem({ where: { constructor: 1 } })).toMatch(/^TM_QUERY where\.constructor: /)
    expect(problem({ where: new Date() })).toMatch(/^TM_QUERY where: /)
    expect(problem({ by: [Symbol('x')], select: n })).toMatch(/^TM_QUERY by\[0\]: a symbol/)
    expect(problem({ where: { model: { like: '\\'.repeat(65_535) } } })).toMatch(/^TM_QUERY/)
  })
})

describe('the canonical text of a filter', () => {
  const canonical = (where: unknown): string => canonicalFilter(parse({ where }).where)

  it('is one for filters that ask the same', () => {
    expect(canonical({ model: { in: ['a', 'b', 'a'] }, ok: true })).toBe(
      canonical({ $and: [{ ok: true }, { model: { in: ['b', 'a'] } }] }),
    )
  })

  it('differs where anything differs', () => {
    const texts = [
      undefined,
      { bytes: 1 },
      { tokens: 1 },
      { 'properties.x': 1 },
      { 'properties.x': '1' },
      { latencyMs: 'NaN' },
      { $not: { tokens: 1 } },
      { $or: [{ tokens: 1 }, { bytes: 1 }] },
      { tokens: 1, bytes: 1 },
    ].map(canonical)
    expect(new Set(texts).size).toBe(texts.length)
  })
})
