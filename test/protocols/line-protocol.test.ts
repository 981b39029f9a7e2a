import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  createLineProtocolDecoder,
  decodeLineProtocol,
  type LineProtocolOptions,
  linePrecision,
  type Point,
} from '../../src/protocols/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { type WrittenField, type WrittenPoint, writeLine } from './line-writer.ts'

const receivedAt = parseInstant('2026-01-01T00:00:00Z')

function decode(text: string, options: Partial<LineProtocolOptions> = {}) {
  return decodeLineProtocol(Buffer.from(text), { receivedAt, ...options })
}

/** The one point of a line, in objects. */
function read(line: string, options: Partial<LineProtocolOptions> = {}) {
  const { points, problems } = decode(line, options)
  expect(problems).toEqual([])
  expect(points).toHaveLength(1)
  return show(points[0]!)
}

function show(point: Point) {
  return {
    measurement: point.measurement,
    tags: Object.fromEntries(point.tagKeys.map((key, i) => [key, point.tagValues[i]])),
    fields: Object.fromEntries(point.fieldKeys.map((key, i) => [key, point.fieldValues[i]])),
    time: point.time,
  }
}

/** The one problem of a line. */
function refuse(line: string, options: Partial<LineProtocolOptions> = {}) {
  const { points, problems, problemCount } = decode(`${line}\nnext f=1`, options)
  expect(problemCount).toBe(1)
  expect(points.map((p) => p.measurement)).toEqual(['next'])
  expect(problems[0]!.line).toBe(1)
  return problems[0]!
}

describe('line protocol', () => {
  it('reads measurement, tags, fields and time', () => {
    expect(read('cpu,host=a,region=eu usage=1.5,cores=4i 1767225600123456789')).toEqual({
      measurement: 'cpu',
      tags: { host: 'a', region: 'eu' },
      fields: { usage: 1.5, cores: 4 },
      time: 1767225600123456n,
    })
  })

  it('reads the examples of the reference', () => {
    expect(read('myMeasurement,tag1=value1,tag2=value2 fieldKey="fieldValue" 1556813561098000000')).toEqual({
      measurement: 'myMeasurement',
      tags: { tag1: 'value1', tag2: 'value2' },
      fields: { fieldKey: 'fieldValue' },
      time: 1556813561098000n,
    })
    expect(read('my\\ Measurement fieldKey="string value"').measurement).toBe('my Measurement')
    expect(read('myMeasurement fieldKey="\\"string\\" within a string"').fields).toEqual({
      fieldKey: '"string" within a string',
    })
    expect(read('myMeasurement,tag\\ Key1=tag\\ Value1,tag\\ Key2=tag\\ Value2 fieldKey=100').tags).toEqual({
      'tag Key1': 'tag Value1',
      'tag Key2': 'tag Value2',
    })
    expect(read('myMeasurement,tagKey=🍭 fieldKey="Launch 🚀" 1556813561098000000')).toMatchObject({
      tags: { tagKey: '🍭' },
      fields: { fieldKey: 'Launch 🚀' },
    })
  })

  it.each<[string, unknown]>([
    ['1', 1],
    ['1.0', 1],
    ['-1.234456e+78', -1.234456e78],
    ['1.', 1],
    ['.5', 0.5],
    ['-.5e-3', -0.5e-3],
    ['+2', 2],
    ['0.1', 0.1],
    ['123456789012345678', 123456789012345680],
    ['9007199254740993.0', 9007199254740992],
    ['1i', 1],
    ['-0i', 0],
    ['9007199254740991i', 9007199254740991],
    ['9007199254740993i', 9007199254740993n],
    ['-9223372036854775808i', -9223372036854775808n],
    ['18446744073709551615u', 18446744073709551615n],
    ['7u', 7],
    ...['t', 'T', 'true', 'True', 'TRUE'].map((word): [string, unknown] => [word, true]),
    ...['f', 'F', 'false', 'False', 'FALSE'].map((word): [string, unknown] => [word, false]),
    ['""', ''],
    ['"a,b=c d#e"', 'a,b=c d#e'],
    ['"back\\\\slash"', 'back\\slash'],
    ['"a\\b"', 'a\\b'],
    ['"two\nlines"', 'two\nlines'],
    ['"C:\\\\"', 'C:\\'],
  ])('reads the value %s', (text, value) => {
    expect(read(`m f=${text}`).fields).toEqual({ f: value })
    expect(read(`m a=1,f=${text},z=2 1`).fields).toEqual({ a: 1, f: value, z: 2 })
  })

  it('takes a backslash before any other character as it is', () => {
    expect(read('c:\\temp,path=a\\b\\\\c,k\\=1=x\\,y f\\ 1=1')).toEqual({
      measurement: 'c:\\temp',
      tags: { path: 'a\\b\\\\c', 'k=1': 'x,y' },
      fields: { 'f 1': 1 },
      time: receivedAt,
    })
  })

  it('passes over comments, empty lines, blanks at both ends and carriage returns', () => {
    const { points, problems } = decode('# a "comment\n\n   \n  cpu f=1 \r\n\tmem  f=2   5\r\n#last')
    expect(problems).toEqual([])
    expect(points.map((p) => [p.index, p.measurement, p.time])).toEqual([
      [0, 'cpu', receivedAt],
      [1, 'mem', 0n],
    ])
  })

  it.each([
    ['ns', '1767225600123456789', 1767225600123456n],
    ['ns', '-1', -1n],
    ['ns', '1500', 1n],
    ['us', '1767225600123456', 1767225600123456n],
    ['ms', '1767225600123', 1767225600123000n],
    ['s', '-5', -5_000_000n],
    ['m', '2', 120_000_000n],
    ['h', '1', 3_600_000_000n],
  ] as const)('counts time in %s: %s', (precision, text, micros) => {
    expect(read(`m f=1 ${text}`, { precision }).time).toBe(micros)
  })

  it('knows the words for precision of both versions', () => {
    expect(['n', 'ns', 'u', 'µ', 'us', 'ms', 's', 'm', 'h', '', undefined, null].map(linePrecision)).toEqual([
      ...['ns', 'ns', 'us', 'us', 'us', 'ms', 's', 'm', 'h', 'ns', 'ns', 'ns'],
    ])
    expect(['d', 'toString', 'NS', '__proto__'].map(linePrecision)).toEqual([null, null, null, null])
  })

  it.each([
    ['cpu', 'syntax', 4, null],
    ['cpu,host=a', 'syntax', 11, null],
    [',host=a f=1', 'syntax', 1, null],
    ['cpu,host f=1', 'syntax', 5, null],
    ['cpu,host= f=1', 'syntax', 10, null],
    ['cpu,=a f=1', 'syntax', 5, null],
    ['cpu,host=a=b f=1', 'syntax', 11, null],
    ['cpu,a=1,a=2 f=1', 'duplicate', 9, null],
    ['cpu f', 'syntax', 5, null],
    ['cpu f=', 'syntax', 7, null],
    ['cpu f=1,', 'syntax', 9, null],
    ['cpu f=1,f=2', 'duplicate', 9, null],
    ['cpu f=1.2.3', 'type', 7, '1.2.3'],
    ['cpu f=abc', 'type', 7, 'abc'],
    ['cpu f=NaN', 'type', 7, 'NaN'],
    ['cpu f=1e', 'type', 7, '1e'],
    ['cpu f=1.5i', 'type', 7, '1.5i'],
    ['cpu f=-1u', 'range', 7, '-1u'],
    ['cpu f=9223372036854775808i', 'range', 7, '9223372036854775808i'],
    ['cpu f=1e999', 'range', 7, '1e999'],
    ['cpu f="a"b', 'syntax', 10, null],
    ['cpu f=1 12x', 'syntax', 9, '12x'],
    ['cpu f=1 12 13', 'syntax', 9, '12 13'],
    ['cpu f=1 g=2', 'syntax', 9, 'g=2'],
    ['cpu f=1 99999999999999999999999', 'range', 9, '99999999999999999999999'],
  ])('refuses %s with its place, value and reason, and goes on', (line, reason, column, value) => {
    expect(refuse(line)).toMatchObject({ reason, column, value, text: line, index: 0 })
  })

  it('names the field whose value it refuses', () => {
    const problem = refuse('cpu,host=a usage=high,other=1')
    expect(problem).toMatchObject({ field: 'usage', value: 'high', column: 18 })
    expect(problem.message).toContain('field "usage": "high" is no value')
  })

  it('refuses bytes that are not UTF-8, and takes the lines around them', () => {
    const bytes = Buffer.concat([
      Buffer.from('a f=1\nb,t='),
      Buffer.from([0xff, 0xfe]),
      Buffer.from(' f=1\nc f="'),
      Buffer.from([0xc3]),
      Buffer.from('"\nd f=2'),
    ])
    const { points, problems } = decodeLineProtocol(bytes, { receivedAt })
    expect(points.map((p) => p.measurement)).toEqual(['a', 'd'])
    expect(problems.map((p) => [p.line, p.column, p.reason])).toEqual([
      [2, 5, 'encoding'],
      [3, 6, 'encoding'],
    ])
  })

  it('holds its limits', () => {
    expect(refuse('m,a=1,b=2,c=3 f=1', { maxTags: 2 })).toMatchObject({ reason: 'limit', column: 11 })
    expect(refuse('m a=1,b=2,c=3', { maxFields: 2 })).toMatchObject({ reason: 'limit', column: 11 })
    expect(refuse(`m f="${'x'.repeat(100)}"`, { maxLineBytes: 50 })).toMatchObject({ reason: 'limit' })
    const many = decode('bad\n'.repeat(50), { maxProblems: 3 })
    expect([many.problems.length, many.problemCount]).toEqual([3, 50])
    // a line of exactly the limit is taken
    expect(read('m f=1', { maxLineBytes: 5 }).fields).toEqual({ f: 1 })
  })

  it('loses no more than the limit of a line behind a quote that is not closed', () => {
    const lines = Array.from({ length: 100 }, (_, i) => `good f=${i}`)
    const { points, problems } = decode(['bad f="open', ...lines].join('\n'), { maxLineBytes: 200 })
    expect(problems.map((p) => [p.line, p.reason])).toEqual([[1, 'limit']])
    const seen = points.map((p) => p.fieldValues[0])
    expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => 100 - seen.length + i))
    expect(seen.length).toBeGreaterThan(75)
  })

  it('counts lines inside of strings, so that a later problem names its line', () => {
    expect(decode('a f="1\n2\n3"\nbad\n').problems).toMatchObject([{ line: 4 }])
  })

  it('reads what an independent writer writes, wherever the chunks are cut', () => {
    fc.assert(
      fc.property(
        fc.array(arbitraryPoint, { maxLength: 12 }),
        fc.infiniteStream(fc.nat(7)),
        (written, cuts) => {
          const bytes = Buffer.from(written.map(writeLine).join('\n'))
          const whole = decodeLineProtocol(bytes, { receivedAt, precision: 'us' })
          expect(whole.problems).toEqual([])
          expect(whole.points.map(show)).toEqual(written.map(expected))
          expect(inPieces(bytes, cuts, {})).toEqual(whole)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('gives the same points and problems of any text, wherever the chunks are cut', () => {
    const piece = fc.constantFrom(
      ...[
        'm',
        ',',
        '=',
        ' ',
        '"',
        '\\',
        '\n',
        '\r',
        '#',
        'f=1',
        'a=b',
        '1i',
        't',
        '"x"',
        ' f="',
        'é',
        '1700000000',
        '-',
      ],
    )
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 60 }),
        fc.infiniteStream(fc.nat(5)),
        fc.integer({ min: 4, max: 60 }),
        (pieces, cuts, maxLineBytes) => {
          const bytes = Buffer.from(pieces.join(''))
          const whole = decodeLineProtocol(bytes, { receivedAt, precision: 'us', maxLineBytes })
          expect(inPieces(bytes, cuts, { maxLineBytes })).toEqual(whole)
        },
      ),
      { numRuns: 2000 },
    )
  })
})

function inPieces(bytes: Buffer, cuts: fc.Stream<number>, options: Partial<LineProtocolOptions>) {
  const decoder = createLineProtocolDecoder({ receivedAt, precision: 'us', ...options })
  const points: Point[] = []
  let at = 0
  for (const cut of cuts) {
    if (at >= bytes.length) break
    // overwritten afterwards, as a socket's buffer is
    const chunk = Buffer.from(bytes.subarray(at, at + cut))
    points.push(...decoder.push(chunk))
    chunk.fill(0)
    at += cut
  }
  points.push(...decoder.end())
  return { points, problems: decoder.problems, problemCount: decoder.problemCount }
}

/** No newline, which names cannot hold, and no backslash at the end or before what it would escape. */
const name = fc
  .string({
    unit: fc.constantFrom('a', 'Z', '0', ',', '=', ' ', '\\', 'é', '日', '🚀', '"', '#', '.'),
    minLength: 1,
    maxLength: 8,
  })
  .filter((text) => !/\\$/.test(text))
const measurement = name.filter((text) => !/^[\s#]/.test(text))
const unique = { selector: ([key]: readonly [string, unknown]) => key }
const field: fc.Arbitrary<WrittenField> = fc.oneof(
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map((value) => ({ kind: 'float' as const, text: `${value}` })),
  fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map((value) => ({ kind: 'integer' as const, value })),
  fc.bigInt(0n, 2n ** 64n - 1n).map((value) => ({ kind: 'unsigned' as const, value })),
  fc
    .string({ unit: fc.constantFrom('a', '"', '\\', '\n', ',', ' ', '=', 'ü', '🙂'), maxLength: 12 })
    .map((value) => ({ kind: 'string' as const, value })),
  fc.constantFrom('t', 'T', 'true', 'True', 'TRUE', 'f', 'F', 'false', 'False', 'FALSE').map((word) => ({
    kind: 'boolean' as const,
    word,
  })),
)
const arbitraryPoint: fc.Arbitrary<WrittenPoint> = fc.record({
  measurement,
  tags: fc.uniqueArray(fc.tuple(name, name), { maxLength: 4, ...unique }),
  fields: fc.uniqueArray(fc.tuple(name, field), { minLength: 1, maxLength: 5, ...unique }),
  time: fc.option(fc.bigInt(-(10n ** 15n), 4n * 10n ** 15n), { nil: null }),
})

function expected(point: WrittenPoint) {
  return {
    measurement: point.measurement,
    tags: Object.fromEntries(point.tags),
    fields: Object.fromEntries(point.fields.map(([key, value]) => [key, readValue(value)])),
    time: point.time ?? receivedAt,
  }
}

function readValue(field: WrittenField): unknown {
  switch (field.kind) {
    case 'integer':
    case 'unsigned':
      return Number.isSafeInteger(Number(field.value)) ? Number(field.value) : field.value
    case 'string':
      return field.value
    case 'boolean':
      return field.word.toLowerCase().startsWith('t')
    default:
      return Number(field.text)
  }
}
