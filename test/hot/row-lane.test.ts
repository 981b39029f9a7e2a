import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RowLane } from '../../src/hot/row-lane.ts'
import { writableTable } from '../../src/hot/writable-table.ts'
import { createCopyEncoder } from '../../src/postgres/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'

const samples = hypertable('lane.samples', {
  columns: {
    time: t.timestamptz(),
    seen: t.timestamptz().nullable(),
    name: t.text(),
    note: t.text().nullable(),
    f8: t.float8(),
    i8: t.int8().nullable(),
    i4: t.int4(),
    i2: t.int2().default(7),
  },
  time: 'time',
})
const table = writableTable(samples)
const encoder = createCopyEncoder(table.types)

function bytes(add: () => void): string {
  encoder.reset()
  add()
  return Buffer.concat(encoder.finish()).toString('hex')
}

const usual = { time: new Date(0), seen: null, name: 'a', note: null, f8: 0.5, i8: 1n, i4: 2, i2: 3 }
const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(undefined, null, '', 'NaN', '\0', 'Zürich', '\ud800', 'x'.repeat(50), true, [], {}),
  fc.constantFrom(-0, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 53) + 1, 32768, 2 ** 31),
  fc.integer(),
  fc.double(),
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
  fc.date({ noInvalidDate: false }),
  fc.date().map((date) => (Number.isNaN(date.getTime()) ? 'never' : date.toISOString())),
  fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-01T00:00:00.123456+02:00', '2026-01-01', 'infinity'),
  fc.string(),
)

describe('the short way of a row into a COPY stream', () => {
  it('gives what the long way gives, or leaves the row to it', () => {
    const lane = RowLane.create(table)!
    let taken = 0
    fc.assert(
      fc.property(fc.constantFrom(...table.columns, 'unknown'), odd, (column, value) => {
        const row = { ...usual, [column]: value }
        if (!lane.readObject(row)) return
        taken += 1
        const values = table.codec.encode(row)
        expect(values).not.toBeNull()
        expect(bytes(() => encoder.addSlots(lane.slots))).toBe(bytes(() => encoder.addRow(values!)))
      }),
      { numRuns: 20_000 },
    )
    expect(taken).toBeGreaterThan(1000)
  })

  it('takes the usual forms', () => {
    const lane = RowLane.create(table)!
    for (const time of [new Date(1.7e12), '2026-01-01T00:00:00.5Z', 1767225600000000n])
      expect(lane.readObject({ ...usual, time, seen: time })).toBe(true)
  })

  it('leaves rows with a column too few or too many', () => {
    const lane = RowLane.create(table)!
    const { i2: _, ...without } = usual
    expect(lane.readObject(without)).toBe(false)
    expect(lane.readObject({ ...usual, more: 1 })).toBe(false)
    expect(lane.readObject({ ...usual, f8: null })).toBe(false)
    expect(lane.readObject([])).toBe(false)
    expect(lane.readObject('text')).toBe(false)
  })

  it('is not there for types of which no form is plain', () => {
    const columns = { time: t.timestamptz(), document: t.jsonb() }
    expect(RowLane.create(writableTable(hypertable('lane.other', { columns, time: 'time' })))).toBeNull()
  })
})
