import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLakeCatalogs } from '../../src/lake/catalog.ts'
import type { FileScope } from '../../src/lake/file-scope.ts'
import { filterToDuckDB } from '../../src/lake/filter-sql.ts'
import { filesFor } from '../../src/lake/prune.ts'
import { askFiles, fromFiles, InexactError, type LakeAccess } from '../../src/lake/read-files.ts'
import { operandReader } from '../../src/lake/scan-rows.ts'
import { createSummaryMemory } from '../../src/lake/summary-memory.ts'
import { evaluateFilter, type FilterNode } from '../../src/query/index.ts'
import { createRowCodec, hypertable, t } from '../../src/schema/index.ts'
import { raw, type Sql, sql } from '../../src/util/sql.ts'
import { edgeValues, filterArbitrary, pickShifted } from '../helpers/random-filter.ts'
import { type ColdFixture, createColdFixture, jsonbText } from './cold-fixture.ts'

const start = 1_767_225_600_000_000n

const kinds = hypertable('filtered.kinds', {
  columns: {
    id: t.int4(),
    time: t.timestamptz(),
    moment: t.timestamptz().nullable(),
    day: t.date().nullable(),
    name: t.text().nullable(),
    token: t.uuid().nullable(),
    flag: t.bool().nullable(),
    small: t.int2().nullable(),
    big: t.int8().nullable(),
    real: t.float4().nullable(),
    double: t.float8().nullable(),
    exact: t.numeric().nullable(),
    fee: t.numeric(6, 2).nullable(),
    tags: t.textArray().nullable(),
    json: t.jsonb().nullable(),
  },
  time: 'time',
  orderBy: ['name', 'time'],
  chunk: '1 day',
})

const pools = {
  moment: [start, start + 1n, start - 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 9_000_000_000_000_000_000n],
  day: edgeValues.date,
  name: [
    '',
    'a',
    'A',
    'b',
    'ab',
    'a_b',
    'a%b',
    'a\\b',
    'é',
    'É',
    'z',
    '\u{1f600}',
    '\uffee',
    '\uFEFFa',
    "o'k",
    '10',
    '9',
    'ΑΣ',
    'İ',
    '\u{10FFFF}',
  ],
  token: edgeValues.uuid,
  flag: edgeValues.bool,
  small: edgeValues.int2,
  big: edgeValues.int8,
  real: edgeValues.float4,
  double: edgeValues.float8,
  exact: edgeValues.numeric,
  fee: ['0.00', '1.00', '-1.00', '0.10', '9999.99', '-9999.99', '12.34'],
} as const
/** Values of filters beyond those of rows. */
const asked: Partial<Record<keyof typeof pools, readonly unknown[]>> = {
  fee: [
    '0.105',
    '-0.105',
    '10000',
    '-10000',
    '9999.995',
    'NaN',
    'Infinity',
    '-Infinity',
    '1',
    '1e3',
    '-1.5E+2',
    '1e-3',
    '.5',
    '1e400',
    '-1e400',
    '1e-400',
    '-0e5',
    '0.1',
  ],
  name: ['aa', '\u{10FFFF}\u{10FFFF}', 'ας', 'i'],
}

/** Numbers as PostgreSQL keeps them: with needless zeros, beyond every double. */
class Token {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}
const scalars = [
  '',
  'a',
  'b',
  '1',
  'é',
  0,
  1,
  -1,
  1.5,
  2.5,
  9007199254740992,
  new Token('9007199254740993'),
  new Token('1.50'),
  new Token('0.10000000000000000001'),
  new Token('123456789012345678901234567890'),
  new Token(`1${'0'.repeat(300)}`),
  true,
  false,
  null,
]
const documents: readonly unknown[] = [
  null,
  ...scalars,
  ...scalars.map((value) => ({ a: value })),
  { a: { b: 'x' } },
  { a: { b: 2 } },
  { a: [1, 'a'] },
  { a: {} },
  {},
  [1],
  { 'k/~"\\': 'odd', a: [] },
]
const tagLists: readonly unknown[] = [null, [], ['a'], ['a', null], ['b', 'é'], [null]]

function documentText(value: unknown): string {
  const tokens: string[] = []
  const text = jsonbText(
    JSON.parse(
      JSON.stringify(value, (_, inner) => {
        if (!(inner instanceof Token)) return inner
        tokens.push(inner.text)
        return `#${tokens.length - 1}#`
      }),
    ),
  )
  return text.replace(/"#(\d+)#"/g, (_, i) => tokens[Number(i)]!)
}

/** Every value of every pool appears, the columns shifted against each other. */
const rows = Array.from({ length: 60 }, (_, i) => {
  const plain = Object.entries(pools).map(([name, pool], c) => [name, pickShifted(pool, i, c * 3)])
  const document = documents[i % documents.length]
  return {
    id: i,
    time: start + BigInt(i % 7) * 3_600_000_000n,
    ...Object.fromEntries(plain),
    tags: pickShifted(tagLists, i, 1),
    json: document,
  } as Record<string, unknown>
})

const patterns = [
  '',
  '%',
  'a%',
  '%b',
  '_',
  'a\\_b',
  'a\\%b',
  'a\\%%',
  'a\\\\b',
  'A%',
  '%É%',
  '__',
  '%a%',
  'ασ',
  'i',
  '\u{10FFFF}%',
  '%%a',
  'a%b',
]
const filter = filterArbitrary({
  columns: Object.fromEntries(
    Object.entries(pools).map(([column, pool]) => [
      column,
      [...pool, ...(asked[column as keyof typeof pools] ?? [])],
    ]),
  ),
  json: {
    refs: [['a'], ['a', 'b'], ['a', '0'], ['a', '-1'], ['k/~"\\'], ['missing']].map((path) => ({
      column: 'json',
      path,
    })),
    values: ['', 'a', 'x', '1', 0, 1, -1, 1.5, 2.5, 0.1, 9007199254740992, 1e300, -1e300, true, false],
  },
  nullable: ['tags', 'json', 'time'].map((column) => ({ column, path: [] })),
  patterns,
  texts: { column: 'name', path: [] },
  lists: { column: 'tags', path: [] },
})

describe('filters in DuckDB', () => {
  let fixture: ColdFixture
  let access: LakeAccess
  let from: Sql
  let scope: FileScope
  const names = Object.keys(kinds.columns)
  const canonical = new Map<number, readonly unknown[]>()

  beforeAll(async () => {
    fixture = await createColdFixture()
    const codec = createRowCodec(kinds)
    const encoded = rows.map((row) => {
      const text = row['json'] === null ? null : documentText(row['json'])
      const values = codec.encode({ ...row, json: null })
      if (!values) throw new Error(JSON.stringify(codec.problems(row)))
      values[names.indexOf('json')] = text
      canonical.set(row['id'] as number, values)
      return values
    })
    await fixture.addCanonical(kinds, encoded)
    const catalogs = createLakeCatalogs()
    const snapshot = fixture.snapshot()
    access = {
      duckdb: fixture.duckdb,
      store: fixture.store,
      catalogs,
      summaries: createSummaryMemory(0),
      snapshot,
      signal: null,
      onlyTypeScript: false,
    }
    const files = await catalogs.read(snapshot, kinds, null)
    expect(files).toHaveLength(1)
    scope = { dataset: kinds, layout: files[0]!.layout }
    from = await fromFiles(access, files, [raw('*')])
  })
  afterAll(() => fixture.close())

  function truthsOf(node: FilterNode): (boolean | null)[] {
    const operands = operandReader(scope, new Map(names.map((name, i) => [name, i])))
    return rows.map((row) =>
      evaluateFilter(node, (ref) => operands(canonical.get(row['id'] as number)!, ref)),
    )
  }

  test('lie in the file as they should for this test', () => {
    const { columns } = scope.layout
    expect(columns['exact']?.kind).toBe('numericText')
    expect(columns['fee']?.kind).toBe('decimal')
    expect(columns['json']).toMatchObject({ kind: 'json', shredded: [{ path: ['a'] }] })
  })

  test('are true, false or unknown for the same rows as the evaluator says, or are not said', async () => {
    const seen = { said: 0, unsaid: 0, inexact: 0 }
    await fc.assert(
      fc.asyncProperty(filter, async (node) => {
        const condition = filterToDuckDB(node, scope)
        if (!condition) {
          seen.unsaid++
          return
        }
        const expected = truthsOf(node)
        try {
          const answer = await askFiles(access, sql`select ${condition} from ${from} order by id`)
          expect(answer.map(([truth]) => truth)).toEqual(expected)
          // where a condition is pushed into the scan, it meets statistics and bloom filters
          const held = await askFiles(access, sql`select id from ${from} where ${condition} order by id`)
          expect(held.map(([id]) => id)).toEqual(
            rows.filter((_, i) => expected[i] === true).map((row) => row['id']),
          )
          seen.said++
        } catch (error) {
          if (!(error instanceof InexactError)) throw error
          seen.inexact++
        }
      }),
      { numRuns: 400 },
    )
    expect(seen.said).toBeGreaterThan(120)
    expect(seen.unsaid).toBeGreaterThan(0)
  }, 60_000)

  test('leave out a file only when no row of it matches', async () => {
    const catalogs = createLakeCatalogs()
    const single = await createColdFixture()
    try {
      for (const name of ['a', 'é', null])
        await single.addCanonical(
          kinds,
          [...canonical.values()].filter((values) => values[names.indexOf('name')] === name),
        )
      const files = await catalogs.read(single.snapshot(), kinds, null)
      expect(files.length).toBe(3)
      let left = 0
      fc.assert(
        fc.property(filter, (node) => {
          const truths = truthsOf(node)
          const kept = filesFor(kinds, files, null, node)
          left += files.length - kept.length
          for (const [i, row] of rows.entries()) {
            if (truths[i] !== true) continue
            const file = files.find((one) => {
              const stat = one.stats['name']
              return stat ? stat.min === row['name'] : row['name'] === null
            })
            if (file) expect(kept).toContain(file)
          }
        }),
        { numRuns: 2000 },
      )
      expect(left).toBeGreaterThan(100)
    } finally {
      await single.close()
    }
  })
})
