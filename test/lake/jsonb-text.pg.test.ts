import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { JsonbProblem, toJsonbText } from '../../src/lake/jsonb-text.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase

beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
})
afterAll(() => test.drop())

async function printed(documents: readonly string[]): Promise<string[]> {
  const { rows } = await test.db.query(sql`
    select d.json::jsonb::text
    from unnest(${documents}::text[]) with ordinality as d (json, number)
    order by d.number`)
  return rows.map(([text]) => text as string)
}

it('known documents are printed as PostgreSQL prints them', async () => {
  const documents = [
    '{}',
    ' [ ] ',
    '"a"',
    'null',
    '{"bb":1,"a":2,"":3,"ab":4,"ü":5,"zz":6,"aaa":{"y":[1,2,{}],"x":null}}',
    '{"a":1,"a":2,"\\u0061":3}',
    '{"long key":1,"\\u00fc":2,"k\\"q":3,"tab\\t":4}',
    '"\\u0001\\u001f\\u007f\\b\\f\\n\\r\\t\\/\\\\\\"\\ud83d\\ude00\\u2028é"',
    '[0,-0,0.0,-0.00,0e5,0e-5,-0.0e2,0.00e-3]',
    '[1,1.0,1.50,1e3,1E+3,1e-3,1.5e3,1.5e1,1.25e1,12.5e-3,-1.5e-2,100,10e-1,123456789012345678901234567890.10]',
    '[1e100,1e-100,0.1e1,0.01e1,0.01e3,0.010e3,9.99e2,1e400,1.000e2]',
    `{"deep":${'['.repeat(200)}1${']'.repeat(200)}}`,
    '\n{"a"\t:\r\n[true , false,null]}\n',
  ]
  expect(documents.map(toJsonbText)).toEqual(await printed(documents))
})

const number = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.oneof(fc.constant('0'), fc.stringMatching(/^[1-9]\d{0,20}$/)),
      fc.option(fc.stringMatching(/^\d{1,12}$/)),
      fc.option(fc.tuple(fc.constantFrom('e', 'E'), fc.constantFrom('', '+', '-'), fc.nat(60))),
    )
    .map(
      ([sign, whole, fraction, exponent]) =>
        sign + whole + (fraction === null ? '' : `.${fraction}`) + (exponent?.join('') ?? ''),
    ),
  fc.double({ noDefaultInfinity: true, noNaN: true }).map((value) => JSON.stringify(value)),
)
const isStorable = (text: string): boolean => !text.includes('\0')
const text = fc
  .oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme-ascii' }),
  )
  .filter(isStorable)
  .chain((value) =>
    fc.constantFrom(
      JSON.stringify(value),
      `"${[...value]
        .slice(0, 20)
        .flatMap((character) => character.split(''))
        .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
        .join('')}"`,
    ),
  )
const space = fc.constantFrom('', '', ' ', '\n\t')
const { document } = fc.letrec((tie) => ({
  document: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(number, text, fc.constantFrom('true', 'false', 'null')),
    fc
      .tuple(space, fc.array(tie('document'), { maxLength: 5 }))
      .map(([s, items]) => `[${s}${items.join(`,${s}`)}]`),
    fc
      .tuple(space, fc.array(fc.tuple(text, tie('document')), { maxLength: 8 }))
      .map(([s, members]) => `{${members.map(([key, value]) => `${key}${s}:${s}${value}`).join(',')}${s}}`),
  ),
}))

it('any document is printed as PostgreSQL prints it, and a second time the same', async () => {
  const batch = fc.array(document as fc.Arbitrary<string>, { minLength: 50, maxLength: 200 })
  await fc.assert(
    fc.asyncProperty(batch, async (documents) => {
      const own = documents.map(toJsonbText)
      expect(own).toEqual(await printed(documents))
      expect(own.map(toJsonbText)).toEqual(own)
    }),
    { numRuns: 40 },
  )
})

it('numbers at the limits of numeric are held and refused as PostgreSQL does', async () => {
  const limits = [
    '1e131071',
    '1e131072',
    '1e-16383',
    '1e-16384',
    '0e-16383',
    '0e-16384',
    '-0e200000',
    '123e-16385',
  ]
  for (const token of limits) {
    const theirs = await printed([token]).then(
      ([printed]) => printed,
      () => 'refused',
    )
    let own: string
    try {
      own = toJsonbText(token)
    } catch (error) {
      expect(error).toBeInstanceOf(JsonbProblem)
      own = 'refused'
    }
    expect([token, own === theirs]).toEqual([token, true])
  }
})

it('what is no JSON, and NUL, is refused', () => {
  for (const broken of [
    '',
    '{',
    '{"a"}',
    '[1,]',
    '[1 2]',
    '01',
    '1.',
    '"a',
    '"\\x"',
    'tru',
    '{"a":1,}',
    '"\u0001"',
    '"\\u0000"',
    '1 2',
  ])
    expect(() => toJsonbText(broken), broken).toThrow(JsonbProblem)
})
