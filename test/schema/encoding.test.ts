import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeDefinition,
  encodeDefinition,
  hypertable,
  type StoredDefinition,
  t,
  table,
} from '../../src/schema/index.ts'

/** As jsonb does: keys lose their order. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([k, v]) => [k, shuffled(v)]))
}

function roundTrip(definition: StoredDefinition): StoredDefinition {
  return decodeDefinition(shuffled(JSON.parse(JSON.stringify(encodeDefinition(definition)))))
}

test('a definition survives the catalog, with every option and the order of its columns', () => {
  const full = hypertable('metrics.full', {
    columns: {
      zeit: t.timestamptz().default('2026-01-01T00:00:00.000001Z'),
      a: t.text().comment('first'),
      longer: t.int8().default(2n ** 62n),
      nan: t.float8().default(Number.NaN),
      zero: t.float4().default(-0),
      far: t.float8().default(Number.NEGATIVE_INFINITY),
      price: t.numeric(8, 3).default('1.5'),
      j: t.jsonb().default({ b: [1, { c: null }], a: 'x' }),
      words: t.textArray().default(['x', null]),
      made: t.uuid().defaultSql('gen_random_uuid()'),
      ok: t.bool().default(false),
      day: t.date().nullable(),
    },
    time: 'zeit',
    tenant: 'a',
    primaryKey: ['a', 'zeit'],
    indexes: [
      { columns: ['-longer', 'a'], where: 'ok', name: 'odd' },
      { columns: ['j'], method: 'gin' },
    ],
    appendOnly: true,
    chunk: '1 quarter',
    orderBy: ['a'],
    freeze: { after: '90 days' },
    retain: '5 years',
    late: 'merge',
    maxChunks: 50,
    changeCell: '1h',
    comment: 'everything',
  })
  const back = roundTrip(full)
  expect(back).toEqual(full)
  expect(Object.keys(back.columns)).toEqual(Object.keys(full.columns))
  expect(
    Object.is(back.columns['zero']?.default?.kind === 'value' && back.columns['zero'].default.value, -0),
  ).toBe(true)
  const plain = table('plain', { columns: { a: t.int4() }, primaryKey: ['a'] })
  expect(roundTrip(plain)).toEqual(plain)
})

test('what comes back is frozen through and through', () => {
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    expect(Object.isFrozen(value)).toBe(true)
    for (const inner of Object.values(value)) walk(inner)
  }
  walk(
    roundTrip(
      hypertable('x', {
        columns: { time: t.timestamptz(), j: t.jsonb().default({ a: [1] }) },
        time: 'time',
        freeze: { after: '1 day' },
        indexes: [['-time']],
      }),
    ),
  )
})

test('any default of any type survives', () => {
  fc.assert(
    fc.property(
      fc.record({
        f: fc.double(),
        i: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        s: fc.string(),
        j: fc.jsonValue({ noUnicodeString: false }),
      }),
      ({ f, i, s, j }) => {
        if (s.includes('\0') || j === null || /\\u0000|\\ud[89a-f]/i.test(JSON.stringify(j))) return
        const definition = table('x', {
          columns: {
            f: t.float8().default(f),
            i: t.int8().default(i),
            s: t.text().default(s),
            j: t.jsonb().default(j as never),
          },
        })
        expect(roundTrip(definition)).toEqual(definition)
      },
    ),
    { numRuns: 1000 },
  )
})

test('a definition from a later release is refused, not guessed at', () => {
  const later = { ...encodeDefinition(table('x', { columns: { a: t.int4() } })), version: 2 }
  expect(() => decodeDefinition(later)).toThrow(/version 2/)
  expect(() => decodeDefinition(null)).toThrow(/version/)
})
