import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { createCoercer, dayOfDate, ValueProblem } from '../../src/schema/index.ts'
import { daysFromCivil, formatDay, formatInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase({ empty: true })
  // null where PostgreSQL refuses the text (pg_input_is_valid begins with 16)
  await database.db.execute(`
    create function try_cast(value text, type text) returns text language plpgsql as $$
    declare result text;
    begin
      execute format('select cast(%L as %s)::text', value, type) into result;
      return result;
    exception when others then return null;
    end $$`)
})

async function castAll(texts: readonly string[], type: string): Promise<(string | null)[]> {
  const answer = await database.db.query(sql`
    select try_cast(t, ${type}::text)
    from jsonb_array_elements_text(${JSON.stringify(texts)}::jsonb) with ordinality x(t, i)
    order by i`)
  return answer.rows.map(([value]) => value as string | null)
}

const sample = <T>(arbitrary: fc.Arbitrary<T>, numRuns = 600): T[] =>
  fc.sample(arbitrary, { numRuns, seed: 7 })

const digits = (max: number): fc.Arbitrary<string> =>
  fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: max }).map((list) => list.join(''))
const decimals = fc
  .tuple(
    fc.constantFrom('', '-', '+'),
    digits(8),
    fc.option(digits(6), { nil: null }),
    fc.option(fc.integer({ min: -12, max: 12 }), { nil: null }),
  )
  .map(([sign, whole, fraction, exponent]) =>
    [sign, whole, fraction === null ? '' : `.${fraction}`, exponent === null ? '' : `e${exponent}`].join(''),
  )

test('a numeric without limits is kept as PostgreSQL writes it', async () => {
  const texts = [...sample(decimals), 'NaN', 'Infinity', '-Infinity', '1e100', '-0', '.', '', 'e5', '1.e1']
  const theirs = await castAll(texts, 'numeric')
  const coerce = createCoercer({ type: 'numeric', precision: null, scale: null })
  texts.forEach((text, i) => {
    const ours = coerce(text)
    expect(ours instanceof ValueProblem ? null : ours, text).toBe(theirs[i])
  })
})

test('a numeric of limited size is taken exactly where PostgreSQL keeps the value as it is', async () => {
  for (const [precision, scale] of [
    [5, 2],
    [4, 0],
    [3, 3],
    [10, 4],
  ] as const) {
    const texts = [...sample(decimals), '999.99', '999.994', '-999.995', '9999', '0.999', '0.9999']
    const type = `numeric(${precision}, ${scale})`
    const theirs = await castAll(texts, type)
    const whole = await castAll(texts, 'numeric')
    const coerce = createCoercer({ type: 'numeric', precision, scale })
    for (const [i, text] of texts.entries()) {
      const ours = coerce(text)
      const kept = theirs[i] ?? null
      const isUnchanged = kept !== null && trimmed(kept) === trimmed(whole[i] as string)
      expect(ours instanceof ValueProblem ? null : ours, `${type} ${text}`).toBe(isUnchanged ? kept : null)
    }
  }
})

/** Without zeros behind the point, which do not change a value. */
function trimmed(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

test('whole numbers are taken exactly where PostgreSQL takes them', async () => {
  const near = fc
    .tuple(
      fc.constantFrom(0n, 2n ** 15n, 2n ** 31n, 2n ** 63n),
      fc.boolean(),
      fc.bigInt({ min: -3n, max: 3n }),
    )
    .map(([base, isNegative, off]) => (isNegative ? -base : base) + off)
  const values = sample(near, 300)
  for (const type of ['int2', 'int4', 'int8'] as const) {
    const theirs = await castAll(values.map(String), type)
    const coerce = createCoercer({ type, precision: null, scale: null })
    values.forEach((value, i) => {
      if (type !== 'int8' && (value > 2n ** 53n || value < -(2n ** 53n))) return
      const ours = coerce(type === 'int8' ? value : Number(value))
      expect(ours instanceof ValueProblem ? null : String(ours), `${type} ${value}`).toBe(theirs[i])
    })
  }
})

test('dates are taken exactly where PostgreSQL takes them, and their day numbers agree', async () => {
  const parts = fc
    .tuple(
      fc.oneof(
        fc.integer({ min: 0, max: 3000 }),
        fc.constantFrom(4713, 4714, 4715, 9999, 10000, 5_874_897, 5_874_898),
      ),
      fc.integer({ min: 0, max: 13 }),
      fc.integer({ min: 0, max: 32 }),
      fc.boolean(),
    )
    .map(([y, m, d, isBc]) => {
      const pad = (n: number, length: number): string => String(n).padStart(length, '0')
      return `${pad(y, 4)}-${pad(m, 2)}-${pad(d, 2)}${isBc ? ' BC' : ''}`
    })
  const texts = [
    ...sample(parts, 1500),
    '2024-02-29',
    '1900-02-29',
    '4714-11-24 BC',
    '4714-11-23 BC',
    'infinity',
  ]
  const theirs = await castAll(texts, 'date')
  const coerce = createCoercer({ type: 'date', precision: null, scale: null })
  const kept: string[] = []
  texts.forEach((text, i) => {
    const ours = coerce(text)
    expect(ours instanceof ValueProblem ? null : ours, text).toBe(theirs[i])
    if (typeof ours === 'string' && ours !== 'infinity') kept.push(ours)
  })
  const answer = await database.db.query(sql`
    select t::date - date '1970-01-01'
    from jsonb_array_elements_text(${JSON.stringify(kept)}::jsonb) with ordinality x(t, i)
    order by i`)
  expect(kept.map(dayOfDate)).toEqual(answer.rows.map(([days]) => days))
  expect(formatDay(daysFromCivil(2024, 2, 29))).toBe('2024-02-29')
})

test('times are the instants that PostgreSQL reads', async () => {
  const texts = sample(
    fc.date({ min: new Date('0001-01-02T00:00Z'), max: new Date('9999-12-30T00:00Z'), noInvalidDate: true }),
    300,
  ).map((date, i) =>
    date.toISOString().replace('Z', ['Z', '+00', '-07:30', '+0530', ' +01:00'][i % 5] as string),
  )
  const coerce = createCoercer({ type: 'timestamptz', precision: null, scale: null })
  const answer = await database.db.query(sql`
    select t::timestamptz
    from jsonb_array_elements_text(${JSON.stringify(texts)}::jsonb) with ordinality x(t, i)
    order by i`)
  expect(texts.map((text) => `${text} ${formatInstant(coerce(text) as bigint)}`)).toEqual(
    answer.rows.map(([t], i) => `${texts[i]} ${formatInstant(t as bigint)}`),
  )
})

test('every JSON that is taken is one that PostgreSQL takes, and comes back equal', async () => {
  const coerce = createCoercer({ type: 'jsonb', precision: null, scale: null })
  let taken = 0
  for (const value of sample(
    fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true }),
    400,
  )) {
    if (value === null || value === undefined) continue
    const ours = coerce(value)
    if (ours instanceof ValueProblem) continue
    taken++
    const answer = await database.db.query(sql`select ${ours}::jsonb::text`)
    expect(JSON.parse(answer.rows[0]?.[0] as string)).toEqual(JSON.parse(ours as string))
  }
  expect(taken).toBeGreaterThan(50)
})
