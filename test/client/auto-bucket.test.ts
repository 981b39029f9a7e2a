import { expect, it } from 'vitest'
import { autoBucket } from '../../src/client/index.ts'
import { approximateMicros, parseInterval } from '../../src/time/index.ts'

it('an automatic bucket makes as many pieces as fit, of a length that is no shorter than the least', () => {
  const hour = 3_600_000
  expect(autoBucket(hour)).toBe('30 seconds')
  expect(autoBucket(24 * hour)).toBe('15 minutes')
  expect(autoBucket(24 * hour, hour)).toBe('1 hour')
  expect(autoBucket(24 * hour, 0, 24)).toBe('1 hour')
  expect(autoBucket(90 * 24 * hour)).toBe('12 hours')
  expect(autoBucket(1e15)).toBe('1 year')
  for (let ms = 1000; ms < 1e12; ms *= 1.7) {
    const length = Number(approximateMicros(parseInterval(autoBucket(ms))) / 1000n)
    // a month is 28 days at least
    expect(ms / length).toBeLessThanOrEqual(200)
    if (ms > 200_000) expect(ms / length).toBeGreaterThan(200 / 7)
  }
})
