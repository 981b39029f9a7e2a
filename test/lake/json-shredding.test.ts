import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys, JsonAssembler, JsonShredder, JsonSurvey } from '../../src/lake/json-shred.ts'

/** A number as text, where JavaScript's would be another. */
class Token {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** As PostgreSQL prints jsonb: keys by length and bytes, a space behind commas and colons. */
function jsonbText(value: unknown): string {
  if (value instanceof Token) return value.text
  if (Array.isArray(value)) return `[${value.map(jsonbText).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).sort(([a], [b]) => compareKeys(JSON.stringify(a), JSON.stringify(b)))
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}: ${jsonbText(entry)}`).join(', ')}}`
}

const keys = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'a.b', '"', '', 'é', 'zz', 'A', '\\', '𝒳', '\uffff') },
  fc.string({ unit: 'binary' }).filter((key) => key !== '__proto__' && !key.includes('\0')),
)
const scalars = fc.oneof(
  fc.constantFrom(null, true, false, 0, 1.5, -3, '', 'x', '\u0001\n"\\'),
  fc
    .constantFrom('1.0', '1.50', `1${'0'.repeat(400)}`, '12345678901234567890', '0.0000001')
    .map((text) => new Token(text)),
  fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '')),
)
const documents = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    scalars,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(keys, tie('value'), { maxKeys: 5 }),
  ),
})).value

function survey(texts: readonly string[]) {
  const seen = new JsonSurvey()
  for (const text of texts) seen.add(text)
  return seen.choose('doc', new Set(['doc']))
}

function throughColumns(paths: ReturnType<typeof survey>, text: string): { rest: string; back: string } {
  const shredder = new JsonShredder(paths)
  const rest = shredder.shred(text)
  const values = [...shredder.values]
  return { rest, back: new JsonAssembler(paths).assemble(rest, (path) => values[path]!) }
}

describe('a document that was taken apart', () => {
  it('is put together to the same text, whatever the paths', () => {
    fc.assert(
      fc.property(fc.array(documents, { minLength: 2, maxLength: 30 }), (values) => {
        const texts = values.map(jsonbText)
        const paths = survey(texts)
        for (const text of texts) expect(throughColumns(paths, text).back).toBe(text)
      }),
      { numRuns: 500 },
    )
  })

  it('is put together by paths that were chosen from others', () => {
    fc.assert(
      fc.property(fc.array(documents, { minLength: 2, maxLength: 20 }), documents, (others, value) => {
        const text = jsonbText(value)
        expect(throughColumns(survey(others.map(jsonbText)), text).back).toBe(text)
      }),
      { numRuns: 500 },
    )
  })

  it('leaves in the rest only what no column holds', () => {
    const texts = ['{"a": 1, "b": {"c": "x", "d": [1]}, "e": {}}', '{"a": 2, "b": {"c": "y"}, "e": {}}']
    const paths = survey(texts)
    expect(paths.map(({ column, type }) => `${column} ${type}`)).toEqual(['doc.a float8', 'doc.b.c text'])
    expect(texts.map((text) => throughColumns(paths, text).rest)).toEqual([
      '{"b": {"d": [1]}, "e": {}}',
      '{"e": {}}',
    ])
    expect(throughColumns(paths, '{"a": 1, "b": {"c": "x"}}').rest).toBe('{}')
  })

  it('keeps numbers in the rest that a double prints otherwise', () => {
    const paths = survey(['{"n": 1}', '{"n": 2}'])
    for (const text of [
      '{"n": 1.0}',
      '{"n": 12345678901234567890}',
      '{"n": 0.00000010}',
      '{"n": "1"}',
      '{"n": null}',
    ])
      expect(throughColumns(paths, text)).toEqual({ rest: text, back: text })
  })
})

describe('columns for paths', () => {
  it('have names that are free, also where readers do not see case', () => {
    const texts = ['{"a.b": 1, "A": {"B": 2}, "a": {"b": 3}}', '{"a.b": 1, "A": {"B": 2}, "a": {"b": 3}}']
    const names = survey(texts).map(({ column }) => column.toLowerCase())
    expect(new Set(names).size).toBe(3)
    expect(names).not.toContain('doc')
  })

  it('are of the type that most values have, and only for paths that repeat', () => {
    const texts = Array.from({ length: 100 }, (_, i) =>
      jsonbText({ mostly: i % 3 ? 'text' : i, rare: i < 3 ? 1 : null, [`key${i}`]: true }),
    )
    expect(survey(texts).map(({ column, type }) => `${column} ${type}`)).toEqual(['doc.mostly text'])
  })

  it('are at most 64', () => {
    const text = jsonbText(Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`k${i}`, i])))
    expect(survey([text, text])).toHaveLength(64)
  })
})
