import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type BucketSpec,
  bucketBorders,
  bucketMisfit,
  bucketStart,
  parseInterval,
} from '../../src/time/index.ts'

const spec = (text: string): BucketSpec => {
  const [every, zone] = text.split(' @ ')
  return { every: parseInterval(every as string), zone: zone ?? null }
}
const fits = (fine: string, coarse: string): boolean => bucketMisfit(spec(fine), spec(coarse)) === null

describe('a bucket fits into a longer one', () => {
  it.each([
    ['1 hour', '1 day'],
    ['1 hour', '1 day @ Europe/Berlin'],
    ['1 hour', '1 day @ America/New_York'],
    ['30 minutes', '1 day @ Asia/Kolkata'],
    ['30 minutes', '1 day @ Australia/Lord_Howe'],
    ['15 minutes', '1 month @ Asia/Kathmandu'],
    ['1 hour @ Europe/Berlin', '1 day @ Europe/Berlin'],
    ['1 hour @ Australia/Lord_Howe', '1 day @ Australia/Lord_Howe'],
    ['6 hours @ Europe/Berlin', '1 week @ Europe/Berlin'],
    ['1 day @ Europe/Berlin', '1 month @ Europe/Berlin'],
    ['1 day @ Europe/Berlin', '1 week @ Europe/Berlin'],
    ['1 month', '1 year'],
    ['1 day', '1 day'],
    ['24 hours', '1 day'],
    ['1 hour', '12 months @ Australia/Sydney'],
  ])('%s into %s', (fine, coarse) => expect(bucketMisfit(spec(fine), spec(coarse))).toBeNull())

  it.each([
    ['1 hour', '1 day @ Asia/Kolkata', /1970-01-01T18:30:00Z|1969-12-31T18:30:00Z/],
    ['1 hour', '1 day @ Australia/Lord_Howe', /T13:30:00Z/],
    ['1 day', '1 day @ Europe/Berlin', /begins at/],
    ['1 day @ Europe/Berlin', '1 day @ America/New_York', /begins at/],
    ['1 hour', '90 minutes', /^'90 minutes' is no multiple of a bucket of '1 hour'$/],
    ['1 month', '1 week', /finer/],
    ['1 week', '1 month', /no multiple/],
    ['1 month', '1 day', /finer/],
    ['2 months', '3 months', /no multiple/],
    ['1 day', '1 hour', /^'1 hour' is finer than a bucket of '1 day'$/],
    ['1 hour @ Europe/Berlin', '1 hour @ Asia/Kolkata', /begins at/],
    ['6 hours @ Europe/Berlin', '6 hours', /begins at/],
  ] as const)('not %s into %s', (fine, coarse, reason) =>
    expect(bucketMisfit(spec(fine), spec(coarse))).toMatch(reason),
  )

  it('is true exactly when every border of the longer one is a border of the shorter', () => {
    const zone = fc.constantFrom(
      '',
      ...['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', '+05:30'].map(
        (z) => ` @ ${z}`,
      ),
    )
    const length = fc.constantFrom(
      '30 minutes',
      '1 hour',
      '2 hours',
      '12 hours',
      '1 day',
      '2 days',
      '7 days',
      '1 month',
      '3 months',
    )
    const range = { from: BigInt(Date.UTC(1970, 0)) * 1000n, to: BigInt(Date.UTC(2039, 11)) * 1000n }
    fc.assert(
      fc.property(length, zone, length, zone, (a, aZone, b, bZone) => {
        const [fine, coarse] = [spec(a + aZone), spec(b + bZone)]
        const borders = bucketBorders(coarse, range, { max: 2_000_000 })
        const all = borders.slice(0, -1).every((border) => bucketStart(fine, border) === border)
        expect(fits(a + aZone, b + bZone)).toBe(all)
      }),
      { numRuns: 25 },
    )
  }, 60_000)
})
