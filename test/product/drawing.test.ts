import { expect, it } from 'vitest'
import { drawEvents, drawParts } from '../../src/cli/commands/product.ts'

const range = { from: null, to: null }
const plan = { range, read: range, parts: [], elapsedMs: 1 }
const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g')
const draw = (...asked: Parameters<typeof drawEvents>) =>
  drawEvents(...asked).map((line) => line.replace(escapes, ''))

it('shares are drawn as percentages, times with their unit, what is not known as a dot', () => {
  const row = { step: 1, users: 40, ofFirst: 1, ofPrevious: 1, medianSeconds: null, p95Seconds: null }
  const next = { step: 2, users: 10, ofFirst: 0.25, ofPrevious: 0.25, medianSeconds: 90, p95Seconds: 7200 }
  const [header, first, second] = draw('funnel', { rows: [row, next], plan })
  expect(header).toMatch(/step +users +ofFirst +ofPrevious +medianSeconds +p95Seconds/)
  expect(first).toMatch(/^ *1 +40 +100\.0% +100\.0% +· +· +█+/)
  expect(second).toMatch(/^ *2 +10 +25\.0% +25\.0% +1 min 30 s +2 h 0 min +█+/)
  expect(first!.match(/█/g)!.length).toBeGreaterThan(second!.match(/█/g)!.length)
})

it('the matrix of a retention is one line for each cohort', () => {
  const cohort = '2026-03-27T00:00:00Z'
  const rows = [{ cohort, users: 4, returned: [4, 1, null], shares: [1, 0.25, null] }]
  expect(draw('retention', { rows, plan })[1]).toMatch(/^2026-03-27T00:00:00Z +4 +4 1 · +100\.0% 25\.0% · /)
})

it('places of a path that have no name of their own are the others', () => {
  const rows = [{ step: 1, from: '/', to: null, users: 3, sessions: 3 }]
  expect(draw('paths', { rows, plan })[1]).toMatch(/1 +\/ +\(others\) +3 +3 /)
  expect(draw('paths', { rows: [], plan })).toEqual(['no rows'])
})

it('what is read is told by its source, and how far off an estimate may be', () => {
  const part = (source: string, count: number | null, files: number | null) => ({
    source,
    rows: count,
    files,
  })
  const exact = { ...plan, parts: [part('hot', 12_000, 0), part('cold', 5, 2)], errorBound: null }
  expect(drawParts({ rows: [], plan: exact })).toBe(
    '12,000 events of PostgreSQL, 5 events of 2 files, 1.0 ms',
  )
  const parts = [part('web.daily', 30, 0), part('hot', null, null)]
  const errorBound = 'exact up to 512, beyond a standard error of 1.63 %'
  expect(drawParts({ rows: [], plan: { ...plan, parts, errorBound } })).toBe(
    `30 cells of web.daily, events of PostgreSQL, users ${errorBound}, 1.0 ms`,
  )
})
