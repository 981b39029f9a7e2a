import { describe, expect, it } from 'vitest'
import { LatencyCounts } from '../../src/observe/latency-counts.ts'
import { RecentTraffic } from '../../src/observe/recent-traffic.ts'
import { TidemarkError } from '../../src/util/errors.ts'

const begin = Date.parse('2026-03-01T10:00:00Z')
const refused = new TidemarkError('TM_QUERY', { path: 'x', problem: 'is wrong' })
const broken = new TidemarkError('TM_CONNECT', { target: 'there', problem: 'is gone' })
const cancelled = new TidemarkError('TM_CANCELLED', { what: 'asking' })

function traffic() {
  let nowMs = begin
  const recent = new RecentTraffic(() => nowMs)
  const { onQuery, onWrite, onCommit } = recent.observer
  return {
    recent,
    wait: (ms: number) => {
      nowMs += ms
    },
    query: (ms: number, error: unknown = null) => onQuery!({ ms, error } as never),
    write: (ms: number, accepted: number, isReplayed = false) =>
      onWrite!({ ms, error: null, report: { accepted, isReplayed } } as never),
    commit: (rows: number) => onCommit!({ rows } as never),
  }
}

describe('latencies', () => {
  it('are told within 3 %, whatever they are', () => {
    const counts = new LatencyCounts()
    expect(counts.quantile(0.5)).toBeNull()
    const all = Array.from({ length: 1000 }, (_, i) => 1.0123 ** i * 0.06)
    for (const ms of all) counts.add(ms)
    for (const q of [0.001, 0.5, 0.95, 0.99, 1]) {
      const exact = all[Math.ceil(q * all.length) - 1] as number
      expect(Math.abs((counts.quantile(q) as number) / exact - 1), `q ${q}`).toBeLessThan(0.03)
    }
  })

  it('beyond what is counted are the least and the most', () => {
    const counts = new LatencyCounts()
    counts.add(0)
    expect(counts.quantile(0.5)).toBe(0.05)
    counts.add(Number.MAX_SAFE_INTEGER)
    expect(counts.quantile(1)).toBeGreaterThan(600_000)
  })
})

describe('recent traffic', () => {
  it('is of the last five minutes, and tells refused questions from errors', () => {
    const { recent, wait, query, write, commit } = traffic()
    query(1000)
    wait(6 * 60_000)
    for (let i = 0; i < 99; i++) query(10)
    query(500, broken)
    query(5, refused)
    query(5, cancelled)
    write(20, 500)
    write(20, 500, true)
    commit(600)
    const { p50Ms, p99Ms, perSecond, errors, refused: wrong } = recent.queries
    expect(p50Ms).toBeGreaterThan(9.7)
    expect(p50Ms).toBeLessThan(10.3)
    expect(p99Ms).toBeLessThan(11)
    expect({ errors, wrong }).toEqual({ errors: 1, wrong: 1 })
    // 101 in up to five minutes
    expect(perSecond).toBeGreaterThan(101 / 300 - 0.01)
    expect(perSecond).toBeLessThan(101 / 280)
    // what an earlier call wrote is not counted again
    expect(recent.writes.rowsPerSecond).toBeCloseTo(500 / 290, 1)
    expect(recent.rowsPerSecond).toBeCloseTo(600 / 290, 1)
  })

  it('of a process that has just begun is of the time since', () => {
    const { recent, wait, query } = traffic()
    wait(2000)
    for (let i = 0; i < 10; i++) query(1)
    expect(recent.queries.perSecond).toBe(5)
    expect(traffic().recent.queries).toEqual({
      ...{ p50Ms: null, p95Ms: null, p99Ms: null, perSecond: 0, errors: 0, refused: 0 },
    })
  })

  it('is a line of ten seconds each, with those in which nothing was asked, of half an hour at most', () => {
    const { recent, wait, query, commit } = traffic()
    expect(recent.series).toEqual([])
    for (let i = 0; i < 20; i++) query(10)
    wait(20_000)
    commit(50)
    wait(10_000)
    expect(recent.series).toMatchObject([
      {
        at: '2026-03-01T10:00:00.000Z',
        queriesPerSecond: 2,
        queryP50Ms: expect.any(Number),
        rowsPerSecond: 0,
      },
      { at: '2026-03-01T10:00:10.000Z', queriesPerSecond: 0, queryP50Ms: null },
      { at: '2026-03-01T10:00:20.000Z', rowsPerSecond: 5 },
    ])
    for (let i = 0; i < 500; i++) {
      wait(10_000)
      query(1)
    }
    expect(recent.series).toHaveLength(180)
    expect(recent.series.every(({ queriesPerSecond }) => queriesPerSecond === 0.1)).toBe(true)
  })
})
