import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CsvLane } from '../../src/ingest/csv-lane.ts'
import type { ImportPlan } from '../../src/ingest/plan.ts'
import { RowMaker } from '../../src/ingest/row-maker.ts'
import { type CopyType, createCopyEncoder } from '../../src/postgres/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'

const table = hypertable('lane.samples', {
  columns: {
    time: t.timestamptz(),
    name: t.text(),
    note: t.text().nullable(),
    f8: t.float8().nullable(),
    f4: t.float4().nullable(),
    i8: t.int8().nullable(),
    i4: t.int4(),
    i2: t.int2().nullable(),
  },
  time: 'time',
})
const columns = Object.keys(table.columns)
const types = columns.map((name) => table.columns[name as 'time'].type as CopyType)

function planOf(timeFormat: string, timeZone: string | null): ImportPlan {
  return {
    format: 'csv',
    compression: 'none',
    separator: ',',
    header: true,
    hasPrefix: false,
    fields: columns,
    parquet: null,
    columns: columns.map((column, index) => ({
      column,
      source: { kind: 'field', index },
      timeFormat: column === 'time' ? timeFormat : null,
      why: '',
    })),
    unused: [],
    timeZone,
    nullWords: null,
    ragged: 'refuse',
    keepBlankLines: false,
    maxRecordBytes: 1 << 20,
    limit: null,
    remarks: [],
  } as unknown as ImportPlan
}

/** The line's bytes for PostgreSQL by the lane and by cutting it into fields; null where it is not taken. */
function bothWays(plan: ImportPlan): (line: string) => { lane: string | null; long: string | null } {
  const lane = CsvLane.create(plan, table)!
  const maker = new RowMaker('file.csv', plan, table)
  const encoder = createCopyEncoder(types)
  const bytes = (add: () => void): string => {
    encoder.reset()
    add()
    return Buffer.concat(encoder.finish()).toString('hex')
  }
  return (line) => {
    // it stands inside of a block, as it does when a file is read
    const block = `before,1\n${line}\nafter,2\n`
    const isTaken = lane.read(block, 9, 9 + line.length)
    const row = maker.make(line.split(','), 1)
    return {
      lane: isTaken ? bytes(() => encoder.addSlots(lane.slots)) : null,
      long: row === null ? null : bytes(() => encoder.addRow(row)),
    }
  }
}

const twoDigits = fc.integer({ min: 0, max: 62 }).map((n) => String(n).padStart(2, '0'))
const isoTime = fc
  .tuple(
    fc.constantFrom('2026', '1999', '2000', '1600', '0001', '9999', '20x6'),
    fc.integer({ min: 0, max: 20 }).map((n) => String(n).padStart(2, '0')),
    fc.integer({ min: 0, max: 33 }).map((n) => String(n).padStart(2, '0')),
    fc.constantFrom('T', ' ', 't', '_'),
    fc.tuple(twoDigits, twoDigits, twoDigits).map((parts) => parts.join(':')),
    fc.constantFrom('', '.5', '.123456', '.000001', '.1234567', '.1234560', '.', ',5'),
    fc.constantFrom('Z', 'z', '', '+02', '+00:00', ' UTC', 'x', 'ZZ'),
  )
  .map(([y, m, d, gap, clock, fraction, zone]) => `${y}-${m}-${d}${gap}${clock}${fraction}${zone}`)
const good = fc
  .date({ min: new Date('1960-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString())
const number = fc.oneof(
  fc.integer({ min: -40_000, max: 40_000 }).map(String),
  fc.double({ noNaN: true, min: -1e12, max: 1e12 }).map(String),
  fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String),
  fc.stringMatching(/^[+-]?\d{0,20}\.?\d{0,20}$/),
  fc.constantFrom(
    '',
    '0',
    '-0',
    '-',
    '.',
    '-.',
    '5.',
    '.5',
    '007',
    '1e3',
    'NaN',
    'inf',
    'NA',
    ' 7',
    '7 ',
    '--1',
    '3.4e39',
    '340282356779733661637539395458142568448',
  ),
)
const text = fc.oneof(
  fc.constantFrom('', 'a', 'host_1', 'NA', ' ', '\0', 'Zürich', '\u007f', 'x'.repeat(100)),
  fc.string({ unit: 'binary-ascii' }).map((given) => given.replace(/[,\n"]/g, '')),
)
const plain = fc.integer({ min: 0, max: 30_000 }).map(String)
const unixTime = fc.integer({ min: 0, max: 2_000_000_000 }).map(String)
/** A line that fits but for one field, which may hold anything. */
const lineOf = (time: fc.Arbitrary<string>) =>
  fc
    .tuple(
      fc.tuple(time, fc.constant('host_1'), text, plain, plain, plain, plain, plain),
      fc.integer({ min: 0, max: 7 }),
      fc.oneof(isoTime, number, number, text),
    )
    .map(([fields, place, odd]) => fields.with(place, odd).join(','))

describe('the short way of a CSV line', () => {
  for (const [format, zone] of [
    ['iso', 'UTC'],
    ['iso', null],
    ['iso', 'Europe/Berlin'],
    ['unix-s', 'UTC'],
  ] as const) {
    it(`gives what the long way gives, or leaves the line to it (${format}, ${zone ?? 'no zone'})`, () => {
      const both = bothWays(planOf(format, zone))
      let taken = 0
      fc.assert(
        fc.property(lineOf(format === 'iso' ? good : unixTime), (given) => {
          const { lane, long } = both(given)
          if (lane === null) return
          taken += 1
          expect(lane).toBe(long)
        }),
        { numRuns: 5000 },
      )
      expect(taken).toBeGreaterThan(500)
    })
  }

  it('takes the usual forms', () => {
    const both = bothWays(planOf('iso', 'UTC'))
    for (const given of [
      '2026-01-31T07:45:00.000Z,host_1,,0.5,-1.25,123456789012,7,-1',
      '2026-01-31 07:45:00,host_1,note,42,42,-1,-2147483648,32767',
      '2026-01-31T07:45:00Z,a,b,3.141592653589793,,,0,',
    ]) {
      const { lane, long } = both(given)
      expect(lane).not.toBeNull()
      expect(lane).toBe(long)
    }
  })

  it('leaves lines with another number of fields, and values out of range', () => {
    const both = bothWays(planOf('iso', 'UTC'))
    for (const given of [
      '2026-01-31T07:45:00Z,a,b,1,1,1,1',
      '2026-01-31T07:45:00Z,a,b,1,1,1,1,1,1',
      '2026-01-31T07:45:00Z,a,b,1,1,1,2147483648,1',
      '2026-01-31T07:45:00Z,a,b,1,1,1,1,40000',
      '2026-02-30T07:45:00Z,a,b,1,1,1,1,1',
      '2026-17-05T07:45:00Z,a,b,1,1,1,1,1',
      '2026-01-31T07:45:00Z,,b,1,1,1,,1',
    ])
      expect(both(given).lane).toBeNull()
  })

  it('is not there where values need more than their plain form', () => {
    const plan = planOf('iso', 'UTC')
    expect(CsvLane.create({ ...plan, nullWords: ['7'] }, table)).toBeNull()
    expect(CsvLane.create({ ...plan, separator: ':' }, table)).toBeNull()
    expect(CsvLane.create({ ...plan, ragged: 'fill' }, table)).toBeNull()
  })
})
