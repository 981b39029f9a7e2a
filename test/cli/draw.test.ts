import { describe, expect, it } from 'vitest'
import { bar, formatBytes, formatDuration, formatNumber, sparkline, textTable } from '../../src/cli/draw.ts'

describe('a sparkline', () => {
  it('goes from the smallest to the greatest value and leaves gaps for nulls', () => {
    expect(sparkline([0, 1, null, 7])).toBe('▁▂ █')
  })

  it('draws equal values as a level line', () => {
    expect(sparkline([5, 5, 5])).toBe('▄▄▄')
  })

  it('puts more values than it has room for together by their mean', () => {
    expect(sparkline([0, 0, 10, 10, 0, 0, 10, 10], 4)).toBe('▁█▁█')
  })

  it('is blank when nothing is known', () => {
    expect(sparkline([null, null])).toBe('  ')
  })
})

describe('a bar', () => {
  it('has the length of its share in eighths', () => {
    expect(bar(10, 10, 4)).toBe('████')
    expect(bar(5, 10, 4)).toBe('██')
    expect(bar(1, 32, 4)).toBe('▏')
  })

  it('is empty for null, zero and negative values', () => {
    expect([bar(null, 10), bar(0, 10), bar(-3, 10)]).toEqual(['', '', ''])
  })
})

describe('a table', () => {
  it('aligns columns and cuts long cells', () => {
    const lines = textTable(
      [
        { title: 'name', align: 'left' },
        { title: 'n', align: 'right' },
      ],
      [
        ['a', '1'],
        ['b'.repeat(9), '1000'],
      ],
      5,
    )
    expect(lines).toEqual(['name      n', 'a         1', 'bbbb…  1000'])
  })
})

describe('numbers for people', () => {
  it('are grouped and short, bytes and durations have units', () => {
    expect(formatNumber(1234567)).toBe('1,234,567')
    expect(formatNumber(0.000123456)).toBe('0.0001235')
    expect(formatNumber(12.3456)).toBe('12.35')
    expect(formatNumber(9007199254740993n)).toBe('9,007,199,254,740,993')
    expect(formatBytes(1536)).toBe('1.5 KiB')
    expect(formatDuration(0.123)).toBe('0.12 ms')
    expect(formatDuration(61_000)).toBe('1 min 1 s')
  })
})
