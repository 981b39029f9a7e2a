import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareDecimals, divideDecimal, nearestRatio, trimDecimal } from '../../src/aggregate/decimal.ts'
import { compareText } from '../../src/aggregate/index.ts'
import { md5First64 } from '../../src/aggregate/md5.ts'
import { toFloat8 } from '../../src/aggregate/values.ts'
import { arbitraryText } from './arbitraries.ts'
import { asMultiple, doublesAround } from './doubles.ts'

const seed = Number(Date.now() % 2 ** 31)
const anyText = fc.string({ unit: 'binary', maxLength: 200 })

describe('exact parts', () => {
  it('the hash is the first eight bytes of MD5 of the UTF-8 bytes, whatever their number', () => {
    const out = new Uint32Array(2)
    const check = (text: string): void => {
      md5First64(text, out)
      const digest = createHash('md5').update(text, 'utf8').digest()
      expect([out[0], out[1]], JSON.stringify(text)).toEqual([digest.readUInt32BE(0), digest.readUInt32BE(4)])
    }
    for (let length = 0; length < 200; length += 1) check('x'.repeat(length))
    check('ä'.repeat(3000))
    fc.assert(fc.property(anyText, check), { seed, numRuns: 2000 })
  })

  it('text has the order of its UTF-8 bytes', () => {
    const pair = fc.tuple(anyText, anyText, anyText)
    fc.assert(
      fc.property(pair, ([prefix, a, b]) => {
        const expected = Math.sign(Buffer.compare(Buffer.from(prefix + a), Buffer.from(prefix + b)))
        expect(Math.sign(compareText(prefix + a, prefix + b))).toBe(expected)
      }),
      { seed, numRuns: 3000 },
    )
  })

  it('trimmed decimals are in the order of their values, NaN last', () => {
    const rank = (text: string): bigint =>
      ({ NaN: 10n ** 400n, Infinity: 10n ** 399n, '-Infinity': -(10n ** 399n) })[text] ??
      BigInt(text.replace('.', '') + '0'.repeat(20 - (text.split('.')[1]?.length ?? 0)))
    fc.assert(
      fc.property(arbitraryText.numeric, arbitraryText.numeric, (a, b) => {
        const expected = rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0
        expect(compareDecimals(trimDecimal(a), trimDecimal(b))).toBe(expected)
      }),
      { seed, numRuns: 3000 },
    )
  })

  it('a decimal is trimmed to the shortest text of its value', () => {
    expect(['1.50', '-0.00', '007', '100', '0.10', '-12.000', 'NaN'].map(trimDecimal)).toEqual([
      '1.5',
      '0',
      '7',
      '100',
      '0.1',
      '-12',
      'NaN',
    ])
  })

  it('an average of whole numbers is the double nearest to the exact ratio', () => {
    const big = fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n })
    fc.assert(
      fc.property(big, fc.integer({ min: 1, max: 2 ** 31 - 1 }), (dividend, divisor) => {
        const ratio = nearestRatio(dividend, divisor)
        const error = (x: number): bigint => {
          const off = asMultiple(x) * BigInt(divisor) - (dividend << 1074n)
          return off < 0n ? -off : off
        }
        const [below, , above] = doublesAround(Math.abs(ratio), 1).map((x) => x * (dividend < 0n ? -1 : 1))
        expect(error(ratio) <= error(above!)).toBe(true)
        if (ratio !== 0) expect(error(ratio) <= error(below!)).toBe(true)
      }),
      { seed, numRuns: 500 },
    )
    expect(nearestRatio(2n ** 53n + 1n, 1)).toBe(2 ** 53)
    expect(nearestRatio(2n ** 53n + 3n, 1)).toBe(2 ** 53 + 4)
    expect(nearestRatio((2n ** 53n + 1n) * 3n + 1n, 3)).toBe(2 ** 53 + 2)
  })

  it('a quotient of decimals has the scale that PostgreSQL gives it', () => {
    // select 10.00::numeric / 4, 1::numeric / 3, 12345678901234567890::numeric / 7, 0::numeric / 5, -2::numeric / 3
    expect(divideDecimal({ unscaled: 1000n, scale: 2 }, 4)).toBe('2.5000000000000000')
    expect(divideDecimal({ unscaled: 1n, scale: 0 }, 3)).toBe('0.33333333333333333333')
    expect(divideDecimal({ unscaled: 12345678901234567890n, scale: 0 }, 7)).toBe('1763668414462081127')
    expect(divideDecimal({ unscaled: 0n, scale: 0 }, 5)).toBe('0.00000000000000000000')
    expect(divideDecimal({ unscaled: -2n, scale: 0 }, 3)).toBe('-0.66666666666666666667')
  })

  it('a numeric becomes the nearest double, infinite beyond the range and zero within 1e-320', () => {
    const almost = (2n ** 1024n - 2n ** 970n - 1n).toString()
    expect(toFloat8('numeric', almost)).toBe(Number.MAX_VALUE)
    expect(toFloat8('numeric', (2n ** 1024n - 2n ** 970n).toString())).toBe(Number.POSITIVE_INFINITY)
    expect(toFloat8('numeric', `-0.${'0'.repeat(320)}9`)).toBe(0)
    expect(toFloat8('numeric', `0.${'0'.repeat(319)}10`)).toBe(1e-320)
    expect(toFloat8('int8', 2n ** 63n - 1n)).toBe(2 ** 63)
  })
})
