/**
 * Writes the vector files beside this one: `npx jiti test/vectors/make.ts && npx biome format --write test/vectors`. Their format is in
 * docs/design/aggregates.md. A file that changes by this means that stored states no longer read as they did:
 * raise `encodingVersion`.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  aggregates,
  type InputType,
  type StateKind,
  type StateSpec,
  states,
} from '../../src/aggregate/index.ts'
import { buildState, bytesOf, finishAll, functionsOf, type ValueText } from '../aggregate/harness.ts'
import { type VectorCase, type VectorFile, valuesOf } from './format.ts'

const floats = ['1.5', '-2.25', '0', '-0', null, '1e-300', '123456.789', '0.1', '0.2']
const special = ['NaN', 'Infinity', '-Infinity', '1', '5e-324', '-5e-324', '2.2250738585072014e-308']
const extremes = [
  '1.7976931348623157e308',
  '-1.7976931348623157e308',
  '2.2250738585072014e-308',
  '5e-324',
  '-5e-324',
]
const words = [
  'b',
  'B',
  '',
  'ä',
  'a\u0301',
  '\u{1f600}',
  '\uffee',
  '\ue000',
  'b ',
  null,
  'ﬀ',
  "o'neil",
  'tab\t',
  '\\',
  'b',
]
const inputs: Record<Exclude<InputType, 'text[]'>, readonly (readonly [string, readonly ValueText[]])[]> = {
  bool: [
    ['both', ['true', 'false', null, 'true']],
    ['one', ['false']],
  ],
  int2: [['extremes', ['-32768', '32767', '0', null, '7', '7']]],
  int4: [['extremes', ['-2147483648', '2147483647', '0', null, '7', '7']]],
  int8: [
    ['small', ['1', '2', null, '-3', '2']],
    ['extremes', ['9223372036854775807', '9223372036854775807', '-9223372036854775808', '9007199254740993']],
  ],
  float4: [
    ['plain', ['1.5', '-0', '0', '0.1', '3.4028235e38', '1e-45', null]],
    ['special', special.slice(0, 4)],
  ],
  float8: [
    ['plain', floats],
    ['special', special],
    ['extremes', extremes],
    ['overflow', Array.from({ length: 10 }, () => '1e308')],
    ['infinity and its opposite', ['Infinity', '-Infinity']],
    ['only NaN', ['NaN', 'NaN']],
    ['zeros', ['-0', '0', '-0']],
    ['nothing', []],
    ['only nulls', [null, null]],
    [
      'over 82 powers of two',
      Array.from({ length: 120 }, (_, i) => String(2 ** (i - 60) * (i % 3 ? 1 : -1))),
    ],
    [
      'at borders',
      ['1', '1.02', '1.0199999999999998', '1.02000000000000024', '1.98', '1.9999999999999998', '2'],
    ],
  ],
  'json-number': [['plain', ['1', '2.5', null, '-0', '1e300']]],
  numeric: [
    ['scales', ['1.50', '1.5', '1.500', '-0.00', '0', null, '12345678901234567890.123456789', '-7']],
    ['special', ['NaN', '1', '-Infinity']],
    ['infinity', ['Infinity', '1.5']],
    ['infinity and its opposite', ['Infinity', '-Infinity']],
    ['beyond double', [`1${'0'.repeat(309)}`, `-1${'0'.repeat(309)}`, `0.${'0'.repeat(330)}1`]],
    ['thirds', ['1', '1', '0.00']],
  ],
  text: [
    ['words', words],
    ['nothing', []],
  ],
  'json-text': [['words', ['x', 'y', null, 'x']]],
  uuid: [['some', ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '00000000-0000-0000-0000-000000000000', null]]],
  date: [
    ['all kinds', ['2026-01-31', '0044-03-15 BC', '10000-01-01', '1969-12-31', null]],
    ['infinite', ['infinity', '-infinity', '2000-02-29']],
  ],
  timestamptz: [
    ['microseconds', ['1767225600123456', '-1', '0', null, '9007199254740993', '9007199254740992']],
    ['infinite', ['9223372036854775807', '-9223372036854775808']],
  ],
}

function complete(
  spec: StateSpec,
  name: string,
  values: VectorCase['values'],
  times?: readonly string[],
): VectorCase {
  const listed = valuesOf(values)
  const state = buildState(spec, listed, times ?? null)
  return {
    name,
    input: spec.input,
    ...(spec.borders ? { borders: spec.borders } : {}),
    ...(spec.capacity ? { capacity: spec.capacity } : {}),
    ...(spec.weight ? { weight: spec.weight } : {}),
    ...(spec.series ? { series: spec.series } : {}),
    values,
    ...(times ? { times } : {}),
    state: bytesOf(spec, state),
    finished: finishAll(spec, state),
  }
}

const parameters = { k: 5, series: ['int4'], weight: 'linear' } as const

function casesOf(kind: StateKind): VectorCase[] {
  const definition = aggregates[functionsOf[kind][0]]
  const cases: VectorCase[] = []
  if (kind === 'count') {
    const rows = definition.state(null, { borders: null })
    cases.push(complete(rows, 'rows', ['a', null, 'b']), complete(rows, 'no rows', []))
  }
  for (const input of Object.keys(inputs) as (keyof typeof inputs)[]) {
    if (definition.refuses(input) !== null) continue
    const spec = definition.state(input, { borders: [-1, 0, 1.02, 100], ...parameters })
    const isTimed = kind === 'first' || kind === 'last' || states[kind].ordered === true
    for (const [name, values] of inputs[input]) {
      cases.push(complete(spec, name, values, isTimed ? exactTimes(values.length) : undefined))
    }
  }
  const series = definition.state('int8', { borders: [250, 500], ...parameters })
  if (kind === 'hll' || kind === 'ddsketch' || kind === 'histogram' || kind === 'topk')
    for (const to of kind === 'topk' ? [256, 257, 2000] : [512, 513, 5000])
      cases.push(complete(series, `1 to ${to}`, { from: 1, to }))
  return cases
}

/** Pairs share a time; they lie around 2^53 microseconds, where a double no longer tells neighbours apart. */
function exactTimes(length: number): string[] {
  return Array.from({ length }, (_, i) => String(2n ** 53n + BigInt(i >> 1) - 1n))
}

for (const kind of Object.keys(functionsOf) as StateKind[]) {
  const file: VectorFile = { state: kind, exactness: states[kind].exactness, cases: casesOf(kind) }
  const path = fileURLToPath(new URL(`${kind}.json`, import.meta.url))
  writeFileSync(path, `${JSON.stringify(file, null, 1)}\n`)
}
