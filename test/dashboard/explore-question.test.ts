import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mostBuckets, questionBefore, questionOf, shiftOf } from '../../dashboard/src/chart/question.ts'
import {
  lengthMs,
  rangeProblem,
  rangeText,
  roughMs,
  sensibleRange,
  toInstant,
  widened,
} from '../../dashboard/src/chart/times.ts'
import { formatInstant } from '../../dashboard/src/format/index.ts'
import { plainAggregate } from '../../dashboard/src/pages/explore/aggregates.ts'
import { toCurl, toTypeScript } from '../../dashboard/src/pages/explore/code.ts'
import { toPanel } from '../../dashboard/src/pages/explore/panel-of.ts'
import { emptyState } from '../../dashboard/src/pages/explore/state.ts'
import { parseQuery } from '../../src/query/index.ts'
import { asked, clock, info, now, options, requests } from './explore-fixture.ts'

describe('what is asked', () => {
  it('has a bucket that fits the width', () => {
    expect(asked({ from: '-1 day' }).bucket).toBe('5 minutes')
    const narrow = questionOf(
      toPanel({ ...emptyState, select: [plainAggregate] }, info),
      { from: '-1 day', to: null },
      info,
      {
        ...options,
        width: 320,
      },
    )
    expect(narrow.bucket).toBe('15 minutes')
    expect(mostBuckets('line', 1000)).toBe(mostBuckets('line', 1010))
    expect(asked({ bucket: '7 minutes' }).query['bucket']).toBe('7 minutes')
    expect(asked({ bucket: 'none' }).query).not.toHaveProperty('bucket')
  })

  it('follows the days of the reader, where buckets are made of them', () => {
    const of = (bucket: string) =>
      questionOf(
        toPanel({ ...emptyState, select: [plainAggregate], bucket }, info),
        { from: '-30 days', to: null },
        info,
        { ...options, zone: 'Asia/Kolkata' },
      ).query
    expect(of('1 day')).toMatchObject({ zone: 'Asia/Kolkata', to: 'now' })
    expect(of('1 month')).toMatchObject({ zone: 'Asia/Kolkata' })
    expect(of('5 hours')).not.toHaveProperty('zone')
    expect(of('1 minute')).not.toHaveProperty('zone')
    // a date is the same instant with and without
    expect(
      questionOf(
        toPanel({ ...emptyState, select: [plainAggregate], bucket: '1 day' }, info),
        { from: '2026-01-01', to: '2026-02-01' },
        info,
        { ...options, zone: 'Asia/Kolkata' },
      ).query,
    ).toMatchObject({ from: '2026-01-01T00:00:00Z', to: '2026-02-01T00:00:00Z' })
    for (const bucket of ['1 day', '5 hours', '1 month', '6 hours'])
      expect(() => parseQuery(of(bucket), { dataset: requests, clock })).not.toThrow()
  })

  it('of the period before is as long, or as much earlier as was said', () => {
    const range = { from: Date.parse('2026-03-31T00:00:00Z'), to: Date.parse('2026-04-02T00:00:00Z') }
    const days = (compare: string) => {
      const found = shiftOf(range, compare)
      return found && [found.from, found.to].map((ms) => new Date(ms).toISOString().slice(0, 10))
    }
    expect(days('previous')).toEqual(['2026-03-29', '2026-03-31'])
    expect(days('1 week')).toEqual(['2026-03-24', '2026-03-26'])
    expect(days('1 month')).toEqual(['2026-02-28', '2026-03-02'])
    expect(days('soon')).toBeNull()
    expect(questionBefore(asked({}), range, 'previous')?.query).toMatchObject({
      from: '2026-03-29T00:00:00.000Z',
      to: '2026-03-31T00:00:00.000Z',
      bucket: '5 minutes',
    })
  })

  it('can be taken along as TypeScript and as curl', () => {
    const question = asked({
      by: ['model', 'properties.plan'],
      where: [{ column: 'model', op: 'eq', values: ["it's"] }],
    })
    const code = toTypeScript(question, 'http://127.0.0.1:4680')
    expect(code).toContain(`client.query('metrics.requests', {`)
    expect(code).toContain(`where: { model: 'it\\'s' }`)
    const told = /client\.query\('metrics\.requests', ([\s\S]*?)\)\nconsole/.exec(code)?.[1] ?? ''
    expect(new Function(`return ${told}`)()).toEqual(question.query)
    const curl = toCurl(question, 'http://127.0.0.1:4680')
    const body = /-d '([\s\S]*)'\n$/.exec(curl)?.[1]?.replaceAll("'\\''", "'") ?? ''
    expect(JSON.parse(body)).toEqual({ dataset: 'metrics.requests', ...question.query })
  })
})

describe('ranges', () => {
  it('are understood as they are typed, and what is wrong with one is said', () => {
    expect(lengthMs('15m')).toBe(900_000)
    expect(lengthMs('2 hours')).toBe(7_200_000)
    expect(lengthMs('soon')).toBeNull()
    expect(roughMs('now - 1 hour', now)).toBe(now - 3_600_000)
    expect(rangeProblem({ from: '-1 day', to: null }, now)).toBeNull()
    expect(rangeProblem({ from: 'yesterday', to: null }, now)).toMatch(/no time/)
    expect(rangeProblem({ from: '2026-02-01', to: '2026-01-01' }, now)).toMatch(/before it begins/)
    expect(rangeText({ from: '-1 day', to: null }, String)).toBe('Last 24 hours')
    expect(rangeText({ from: null, to: null }, String)).toBe('All of it')
  })

  it('begin where there are rows: the first chart is never empty', () => {
    const day = 86_400_000
    expect(sensibleRange(null, null, now)).toEqual({ from: '-1 day', to: null })
    expect(sensibleRange(now - 1000, now - 90 * day, now)).toEqual({ from: '-1 day', to: null })
    expect(sensibleRange(now - 1000, now - 3_600_000, now)).toEqual({ from: '-1 hour', to: null })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3000 * day }),
        fc.integer({ min: 0, max: 4000 * day }),
        (age, span) => {
          const newest = now - age
          const { from, to } = sensibleRange(newest, newest - span, now)
          expect(roughMs(from ?? '', now)).toBeLessThanOrEqual(newest)
          expect(to === null ? now : roughMs(to, now)).toBeGreaterThan(newest)
        },
      ),
    )
  })

  it('are typed by the clock of the reader, and mean the same to everybody', () => {
    expect(toInstant('2026-01-31 12:00', 'Europe/Berlin')).toBe('2026-01-31T11:00:00Z')
    expect(toInstant('2026-07-31', 'Europe/Berlin')).toBe('2026-07-30T22:00:00Z')
    expect(toInstant('2026-03-29 03:30:15.5', 'Europe/Berlin')).toBe('2026-03-29T01:30:15.500Z')
    expect(toInstant('2026-01-31', 'Asia/Kolkata')).toBe('2026-01-30T18:30:00Z')
    expect(toInstant('-7 days', 'Europe/Berlin')).toBe('-7 days')
    expect(toInstant('2026-01-31T12:00:00Z', 'Europe/Berlin')).toBe('2026-01-31T12:00:00Z')
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 4e12 }),
        fc.constantFrom('Asia/Kolkata', 'UTC', 'America/Phoenix'),
        (ms, zone) => {
          expect(Date.parse(toInstant(formatInstant(ms, zone, { precision: 'milli' }), zone))).toBe(ms)
        },
      ),
    )
  })

  it('that are zoomed out hold what they held', () => {
    expect(widened({ from: 0, to: 1000 }, 2)).toEqual({
      from: '1969-12-31T23:59:59.500Z',
      to: '1970-01-01T00:00:01.500Z',
    })
  })
})
