import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toSchedule } from '../../src/reports/read-report.ts'
import { lastDue, nextDue } from '../../src/reports/schedule.ts'
import { formatInstant, parseInstant } from '../../src/time/index.ts'

const next = (every: string, zone: string, delay: string | null, after: string) => {
  const { period, at } = nextDue(toSchedule({ every, zone, delay }), parseInstant(after))
  return [formatInstant(period), formatInstant(at)]
}

describe('a report is asked', () => {
  it('when a period of its zone has ended, and its delay is over', () => {
    expect(next('1 day', 'UTC', null, '2026-03-10T12:00:00Z')).toEqual([
      '2026-03-11T00:00:00Z',
      '2026-03-11T00:00:00Z',
    ])
    expect(next('1 day', 'Europe/Berlin', '2 hours', '2026-03-10T12:00:00Z')).toEqual([
      '2026-03-10T23:00:00Z',
      '2026-03-11T01:00:00Z',
    ])
    expect(next('1 month', 'UTC', '6 hours', '2026-03-01T05:00:00Z')).toEqual([
      '2026-03-01T00:00:00Z',
      '2026-03-01T06:00:00Z',
    ])
    // the day on which clocks go forth has 23 hours
    expect(next('1 day', 'Europe/Berlin', null, '2026-03-28T23:00:00Z')).toEqual([
      '2026-03-29T22:00:00Z',
      '2026-03-29T22:00:00Z',
    ])
  })

  it('once for each period, whatever the clock says between', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('5 minutes', '1 hour', '1 day', '1 week', '1 month'),
        fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe'),
        fc.constantFrom(null, '3 minutes', '2 hours', '9 days'),
        fc.bigInt({ min: 1_700_000_000_000_000n, max: 1_900_000_000_000_000n }),
        (every, zone, delay, after) => {
          const schedule = toSchedule({ every, zone, delay })
          const due = nextDue(schedule, after)
          expect(due.at).toBeGreaterThan(after)
          expect(due.at - due.period).toBe(schedule.delayMicros)
          // asked at that moment, or right before the next one, it is the same period that was due last
          expect(lastDue(schedule, due.at)).toEqual(due)
          expect(lastDue(schedule, nextDue(schedule, due.at).at - 1n)).toEqual(due)
          expect(nextDue(schedule, due.at - 1n)).toEqual(due)
        },
      ),
    )
  })
})
