import { describe, expect, test } from 'vitest'
import { chunksWithin, planAct, requestOf, totalsOf } from '../../dashboard/src/pages/storage/acts.ts'
import { growthData, growthPerDay } from '../../dashboard/src/pages/storage/growth-data.ts'
import { outlookOf } from '../../dashboard/src/pages/storage/outlook.ts'
import { reportFindings } from '../../dashboard/src/pages/storage/report-words.ts'
import { chunkWord, nextWords, spanText } from '../../dashboard/src/pages/storage/words.ts'
import type { StoredChunk } from '../../src/client/index.ts'

const now = Date.parse('2026-06-10T12:00:00Z')

function chunk(day: number, more: Partial<StoredChunk> = {}): StoredChunk {
  const text = (n: number): string => new Date(Date.UTC(2026, 5, n)).toISOString()
  return {
    id: String(day),
    from: text(day),
    to: text(day + 1),
    state: 'hot',
    isMoving: false,
    rows: 1000,
    hotRows: 1000,
    bytes: 100_000,
    coldBytes: 0,
    files: 0,
    deletedRows: 0,
    bytesBefore: null,
    frozenAt: null,
    error: null,
    failures: 0,
    next: null,
    ...more,
  }
}

const cold = (day: number, more: Partial<StoredChunk> = {}): StoredChunk =>
  chunk(day, {
    state: 'cold',
    hotRows: 0,
    bytes: 0,
    coldBytes: 10_000,
    files: 1,
    bytesBefore: 120_000,
    ...more,
  })
const delta = (day: number): StoredChunk =>
  cold(day, { state: 'delta', rows: 1010, hotRows: 10, bytes: 8192 })

describe('what an act will do', () => {
  const chosen = [cold(1), delta(2), chunk(3), chunk(10)]

  test('freezing takes what lies in PostgreSQL, late rows too, and says what it leaves out', () => {
    const plan = planAct('freeze', chosen, 10, now)
    expect(plan.chunks.map(({ id }) => id)).toEqual(['2', '3', '10'])
    expect(plan.rows).toBe(2010)
    expect(plan.bytes).toBe(208_192)
    expect(plan.expectedBytes).toBe(20_819.2)
    expect(plan.leftOut).toEqual([{ reason: 'in the lake already', count: 1 }])
    expect(plan.unfinished).toBe(1)
    expect(planAct('freeze', chosen, null, now).expectedBytes).toBeNull()
  })

  test('thawing takes what lies in the lake, and expects what it was, or what its ratio says', () => {
    const plan = planAct('thaw', chosen, 10, now)
    expect(plan.chunks.map(({ id }) => id)).toEqual(['1', '2'])
    expect(plan.rows).toBe(2000)
    expect(plan.expectedBytes).toBe(240_000)
    expect(plan.leftOut).toEqual([{ reason: 'not in the lake', count: 2 }])
    expect(planAct('thaw', [cold(1, { bytesBefore: null })], 10, now).expectedBytes).toBe(100_000)
    expect(planAct('thaw', [cold(1, { bytesBefore: null })], null, now).expectedBytes).toBeNull()
  })

  test('chunks are named to the server as long as it takes them, beyond that by their time', () => {
    const many = Array.from({ length: 1001 }, (_, i) => cold(i))
    expect(requestOf(planAct('thaw', many.slice(0, 1000), 10, now), 'a.b').chunks).toHaveLength(1000)
    expect(requestOf(planAct('thaw', many, 10, now), 'a.b')).toEqual({
      kind: 'thaw',
      dataset: 'a.b',
      from: many[0]!.from,
      to: many[1000]!.to,
    })
    expect(requestOf(planAct('verify', many, 10, now), 'a.b')).toEqual({ kind: 'verify', dataset: 'a.b' })
  })

  test('a report tells what was left, and what to do about files that are not well', () => {
    const report = {
      text: '',
      failed: [{ chunk: '7', reason: 'a publication sends its deletes' }],
      taken: ['8'],
      problems: [
        { kind: 'missing', path: 'a/b.parquet', problem: 'is not in the lake' },
        { kind: 'guard', path: null, problem: 'no guard' },
      ],
    }
    expect(reportFindings({ report })).toEqual([
      'Chunk 7: a publication sends its deletes',
      'Chunk 8 is moved by somebody else at this moment: try again when that is done.',
      'a/b.parquet is not in the lake. Bring the file back from a backup of the lake, then verify again.',
      'no guard',
    ])
    expect(
      reportFindings({ report: { text: '', failed: Array.from({ length: 50 }, () => report.failed[0]) } }),
    ).toHaveLength(21)
    const many = {
      text: '',
      failed: Array.from({ length: 100 }, () => report.failed[0]),
      counts: { failed: 1250, taken: 0 },
    }
    expect(reportFindings({ report: many }).at(-1)?.replace('\u202f', ' ')).toBe('and 1 230 more')
    expect(reportFindings({ report: null })).toEqual([])
  })

  test('the ratio of chosen chunks is of those for which it is known', () => {
    expect(totalsOf(chosen)).toMatchObject({
      chunks: 4,
      rows: 4010,
      hotRows: 2010,
      coldBytes: 20_000,
      ratio: 12,
    })
    expect(totalsOf([cold(1, { bytesBefore: null })]).ratio).toBeNull()
  })

  test('a range chooses the chunks that lie wholly in it', () => {
    const range = { from: Date.parse(chosen[1]!.from), to: Date.parse(chosen[3]!.from) }
    expect(chunksWithin(chosen, range)).toEqual({ first: 1, last: 2 })
    expect(chunksWithin(chosen, { from: range.from + 1, to: range.from + 2 })).toBeNull()
    expect(chunksWithin(chosen, { from: 0, to: 1 })).toBeNull()
  })
})

describe('in words', () => {
  test('a day is said once, in the zone of the reader', () => {
    expect(spanText('2026-06-01T00:00:00Z', '2026-06-02T00:00:00Z', 'UTC')).toBe('2026-06-01')
    expect(spanText('2026-06-01T00:00:00Z', '2026-06-08T00:00:00Z', 'UTC')).toBe('2026-06-01 – 2026-06-07')
    expect(spanText('2026-06-01T00:00:00Z', '2026-06-02T00:00:00Z', 'Europe/Berlin')).toBe(
      '2026-06-01 02:00 – 06-02 02:00',
    )
    expect(spanText('2026-06-01T00:00:00Z', '2026-06-01T06:00:00Z', 'UTC')).toBe('2026-06-01 00:00 – 06:00')
    expect(spanText('2026-12-31T12:00:00Z', '2027-01-01T12:00:00Z', 'UTC')).toBe(
      '2026-12-31 12:00 – 2027-01-01 12:00',
    )
  })

  test('what comes next says when, and what it waits for when that is over', () => {
    const plain = (text: string): string => text.replaceAll('\u00a0', ' ')
    const next = { act: 'freeze', at: '2026-06-13T12:00:00Z', waitsFor: null } as const
    expect(plain(nextWords({ next, isMoving: false }, now, 'UTC').text)).toBe('freezes in 3 d')
    const due = { ...next, at: '2026-06-10T10:00:00Z' }
    expect(nextWords({ next: due, isMoving: false }, now, 'UTC').text).toBe(
      "freezes at the worker's next run",
    )
    const late = nextWords(
      { next: { ...due, waitsFor: 'not before 2026-06-10T12:30:00.123456Z' }, isMoving: false },
      now,
      'Europe/Berlin',
    )
    expect(plain(late.text)).toBe('to be frozen for 2 h')
    expect(late.waitsFor).toBe('not before 2026-06-10 14:30')
    expect(nextWords({ next: due, isMoving: true }, now, 'UTC').text).toBe('under way now')
    expect(nextWords({ next: null, isMoving: false }, now, 'UTC')).toEqual({
      text: 'stays as it is',
      waitsFor: null,
    })
  })

  test('a failed move is said before the state, one that is under way before that', () => {
    expect(chunkWord(chunk(1, { error: 'no room' }))).toBe('failed')
    expect(chunkWord(chunk(1, { error: 'no room', isMoving: true, state: 'freezing' }))).toBe('freezing')
    expect(chunkWord(cold(1, { isMoving: true }))).toBe('moving')
    expect(chunkWord(delta(1))).toBe('delta')
  })
})

describe('what the worker will do with a table', () => {
  const will = (act: 'freeze' | 'drop' | 'compact', hours: number, waitsFor: string | null = null) =>
    chunk(1, { next: { act, at: new Date(now + hours * 3_600_000).toISOString(), waitsFor } })

  test('says how many are due and what they wait for, and when the next one is', () => {
    const lines = outlookOf(
      [
        will('freeze', -30, 'not before 2026-06-10T12:30:00Z'),
        will('freeze', -6),
        will('freeze', 5),
        will('freeze', 29),
        will('drop', 72),
      ],
      now,
      'UTC',
    )
    expect(lines.map((line) => line.replaceAll('\u00a0', ' '))).toEqual([
      '2 due to be frozen: not before 2026-06-10 12:30; next freeze in 5 h',
      'next drop in 3 d',
    ])
  })

  test('one that is being moved waits for nothing, and a table without policies says nothing', () => {
    expect(outlookOf([{ ...will('compact', -1), isMoving: true }, chunk(2)], now, 'UTC')).toEqual([])
    expect(outlookOf([will('compact', -1)], now, 'UTC')).toEqual([
      "1 due to have late rows folded in at the worker's next run",
    ])
  })
})

describe('growth', () => {
  const sample = (at: string, dataset: string, hotBytes: number, coldBytes: number) => ({
    at,
    dataset,
    hotRows: 0,
    hotBytes,
    coldRows: 0,
    coldBytes,
  })
  const samples = [
    sample('2026-06-01T00:00:00Z', 'a', 100, 0),
    sample('2026-06-01T00:00:00Z', 'b', 10, 1),
    sample('2026-06-02T00:00:00Z', 'a', 50, 20),
    sample('2026-06-03T00:00:00Z', 'b', 10, 2),
  ]

  test('datasets that were measured at different times are added as they were known', () => {
    const { times, cold: inLake, total } = growthData(samples, null)
    expect(times).toHaveLength(3)
    expect(inLake).toEqual([1, 21, 22])
    expect(total).toEqual([111, 81, 82])
    expect(growthData(samples, 'a').total).toEqual([100, 70])
  })

  test('growth a day is not guessed from minutes', () => {
    expect(growthPerDay(growthData(samples, 'a'))).toBe(-30)
    expect(growthPerDay(growthData(samples.slice(0, 2), null))).toBeNull()
    expect(growthPerDay(growthData([], null))).toBeNull()
  })
})
