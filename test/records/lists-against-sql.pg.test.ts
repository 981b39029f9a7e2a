import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readListParameters } from '../../src/records/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const columns = {
  id: t.int4(),
  small: t.int2().nullable(),
  large: t.int8().nullable(),
  ratio: t.float8().nullable(),
  single: t.float4().nullable(),
  amount: t.numeric().nullable(),
  name: t.text().nullable(),
  day: t.date().nullable(),
  at: t.timestamptz().nullable(),
  flag: t.bool().nullable(),
  uid: t.uuid().nullable(),
  tags: t.textArray().nullable(),
}
const plain = table('app.plain', { columns, primaryKey: ['id'] })
const timed = hypertable('app.timed', {
  columns: { time: t.timestamptz(), ...columns },
  time: 'time',
  chunk: '1 day',
  primaryKey: ['time', 'id'],
})
const config = defineConfig({ datasets: [plain, timed] })

/** What a column may hold, as SQL and in a URL. */
const values: Readonly<Record<string, readonly string[]>> = {
  small: ['-32768', '0', '7'],
  large: ['9007199254740992', '9007199254740993', '-9223372036854775808'],
  ratio: ['NaN', 'Infinity', '-Infinity', '0.1', '-0', '0'],
  single: ['0.1', 'NaN', '3e38'],
  amount: ['NaN', '1.0', '1.00', '0.30000000000000000001', '12345678901234567890'],
  name: ['', 'a', 'A', 'ä', 'a\u0308', '𝒳', "it's", 'a%b_c\\d', 'Z'],
  day: ['2024-02-29', '0001-01-01', 'infinity'],
  at: ['2026-01-01T00:00:00.000001Z', '2026-01-01T00:00:00.000002Z', '-infinity'],
  flag: ['true', 'false'],
  uid: ['00000000-0000-4000-8000-000000000000', 'ffffffff-ffff-4fff-8fff-ffffffffffff'],
}
const names = Object.keys(values)

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
  const { tm } = engine
  const pick = (name: string, i: number): unknown => {
    const options = values[name]!
    const text = options[(i * 7 + name.length) % (options.length + 1)]
    if (text === undefined) return null
    if (name === 'flag') return text === 'true'
    return ['small', 'ratio', 'single'].includes(name) ? Number(text) : text
  }
  const rows = Array.from({ length: 150 }, (_, i) => ({
    id: i % 2 ? i : -i,
    ...Object.fromEntries(names.map((name) => [name, pick(name, Math.floor(i * 1.37))])),
    tags: i % 3 ? ['x', `t${i % 4}`] : null,
  }))
  await tm.insertUnknown('app.plain', rows)
  await tm.insertUnknown(
    'app.timed',
    rows.map((row, i) => ({ time: `2026-03-0${1 + (i % 3)}T0${i % 10}:00:00Z`, ...row })),
  )
})
afterAll(() => engine.close())

const signs = { eq: '=', ne: '<>', gt: '>', gte: '>=', lt: '<', lte: '<=' } as const
interface Condition {
  /** As in a URL. */
  readonly parameters: readonly (readonly [string, string])[]
  readonly text: string
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`

const condition: fc.Arbitrary<Condition> = fc.constantFrom(...names).chain((name) => {
  const type = columns[name as 'id'] && plain.columns[name as 'id'].type
  const value = fc.constantFrom(...values[name]!)
  const collate = type === 'text' ? ' collate "C"' : ''
  const compare = fc.tuple(fc.constantFrom(...(Object.keys(signs) as (keyof typeof signs)[])), value).map(
    ([operator, text]): Condition => ({
      parameters: [[operator === 'eq' ? name : `${name}[${operator}]`, text]],
      text: `${name}${collate} ${signs[operator]} ${quoted(text)}::${type}`,
    }),
  )
  const isNull = fc.boolean().map(
    (yes): Condition => ({
      parameters: [[`${name}[null]`, String(yes)]],
      text: `${name} is ${yes ? '' : 'not '}null`,
    }),
  )
  const list = fc.tuple(fc.boolean(), fc.uniqueArray(value, { minLength: 1, maxLength: 3 })).map(
    ([not, texts]): Condition => ({
      parameters: texts.map((text) => [`${name}[${not ? 'notIn' : 'in'}]`, text] as const),
      text: `${not ? 'not ' : ''}${name} in (${texts.map((text) => `${quoted(text)}::${type}`).join(',')})`,
    }),
  )
  const like = fc
    .tuple(fc.constantFrom('like', 'ilike'), fc.constantFrom('a%', '%\\%%', '_', 'IT_S', ''))
    .map(
      ([operator, pattern]): Condition => ({
        parameters: [[`name[${operator}]`, pattern]],
        text: `name ${operator} ${quoted(pattern)}`,
      }),
    )
  const holds = fc.constant<Condition>({
    parameters: [['tags[contains]', 't1']],
    text: `tags @> array['t1']`,
  })
  return fc.oneof(compare, compare, isNull, list, name === 'name' ? like : compare, holds)
})

const terms = (more: readonly string[]) =>
  fc
    .uniqueArray(fc.tuple(fc.constantFrom(...names, ...more), fc.boolean()), {
      maxLength: 3,
      selector: ([name]) => name,
    })
    .map((list) => list.map(([name, descending]) => `${descending ? '-' : ''}${name}`))

async function check(
  name: 'app.plain' | 'app.timed',
  conditions: readonly Condition[],
  sort: readonly string[],
  limit: number,
): Promise<void> {
  const { tm, test } = engine
  const set = tm.records(name)
  const seen = new Set<string>()
  // one parameter of a name: a second would be one more value of it
  const used = conditions.filter(({ parameters: [first] }) => !seen.has(first![0]) && seen.add(first![0]))
  const parameters = [
    ...used.flatMap(({ parameters }) => parameters),
    ...sort.map((term) => ['sort', term] as const),
    ['limit', String(limit)] as const,
    ['fields', 'id'] as const,
    ['count', 'true'] as const,
  ]
  const ids: unknown[] = []
  let count: number | null = null
  for (let cursor: string | null = null; ; ) {
    const query = new URLSearchParams([...parameters, ...(cursor === null ? [] : [['cursor', cursor]])] as [
      string,
      string,
    ][])
    const page = await set.list(readListParameters(set.definition, new URLSearchParams(query.toString())))
    ids.push(...page.rows.map((row) => row['id']))
    count = page.count
    cursor = page.cursor
    if (cursor === null) break
  }
  const down = sort.at(-1)?.startsWith('-') ? ' desc' : ''
  const order = sort.map((term) => {
    const column = term.replace(/^-/, '')
    return `${column}${column === 'name' ? ' collate "C"' : ''}${term.startsWith('-') ? ' desc' : ''} nulls last`
  })
  for (const key of name === 'app.timed' ? ['time', 'id'] : ['id'])
    if (!sort.some((term) => term.replace(/^-/, '') === key)) order.push(`${key}${down}`)
  const where = used.length === 0 ? '' : ` where ${used.map(({ text }) => text).join(' and ')}`
  const source = name === 'app.plain' ? name : 'app.all_timed'
  const { rows } = await test.db.query(raw(`select id from ${source}${where} order by ${order.join(', ')}`))
  expect(ids).toEqual(rows.map(([id]) => id))
  expect(count).toBe(rows.length)
}

it('filters and orders of a plain table are those of SQL, whatever the values', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.noShrink(
        fc.tuple(fc.array(condition, { maxLength: 2 }), terms(['id']), fc.integer({ min: 9, max: 60 })),
      ),
      ([conditions, sort, limit]) => check('app.plain', conditions, sort, limit),
    ),
    { numRuns: 60 },
  )
})

it('and those of a hypertable, whose rows lie in PostgreSQL and in the lake', async () => {
  await engine.test.db.execute('create table app.all_timed as select * from app.timed')
  await engine.tm.freeze('app.timed', { from: '2026-03-01', to: '2026-03-03' })
  await fc.assert(
    fc.asyncProperty(
      fc.noShrink(
        fc.tuple(
          fc.array(condition, { maxLength: 2 }),
          terms(['id', 'time']),
          fc.integer({ min: 20, max: 80 }),
        ),
      ),
      ([conditions, sort, limit]) => check('app.timed', conditions, sort, limit),
    ),
    { numRuns: 12 },
  )
})
