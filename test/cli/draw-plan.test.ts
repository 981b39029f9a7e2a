import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { type DrawablePlan, drawAnswer, drawPlan } from '../../src/cli/draw-answer.ts'

const part = { source: 'hot', from: '2026-01-02T00:00:00Z', to: null, rows: 12, bytes: null, ms: 1.5 }
const draw = (parts: DrawablePlan['parts']): string[] =>
  drawPlan({ parts, ms: { total: 3 }, errorBounds: {} }).map((line) =>
    stripVTControlCharacters(line).trimEnd(),
  )

describe('a plan that is drawn', () => {
  it('has no column of files while nothing lies in files', () => {
    expect(draw([part]).join('\n')).not.toContain('files')
  })

  it('tells how many files and summaries a part opened', () => {
    const cold = { ...part, source: 'cold', from: null, to: part.from, bytes: 2048 }
    const lines = draw([
      { ...cold, files: 3, summaries: 28 },
      { ...cold, files: 0, summaries: 1 },
      { ...cold, files: 1, summaries: 0 },
      part,
    ])
    expect(lines[0]).toContain('files')
    expect(lines[1]).toContain('2.0 KiB  3 + 28 summaries')
    expect(lines[2]).toContain('0 + 1 summary')
    expect(lines[3]).toMatch(/KiB {2}1 +1\.5 ms$/)
    expect(lines[4]).toMatch(/-\s+-\s+1\.5 ms$/)
  })

  it('tells which aggregates were looked at, and what is not known', () => {
    const aggregates = [
      { name: 'metrics.hourly', used: true, why: 'its cells hold what is asked for' },
      { name: 'metrics.daily', used: false, why: 'it does not keep host apart' },
    ]
    const partial = [{ output: 'p95', before: '2026-01-02T00:00:00Z' }]
    const lines = drawPlan({ parts: [part], aggregates, partial, ms: { total: 3 }, errorBounds: {} })
    expect(lines.map(stripVTControlCharacters).slice(2, 5)).toEqual([
      'used: metrics.hourly (its cells hold what is asked for)',
      'not used: metrics.daily (it does not keep host apart)',
      'p95: not known before 2026-01-02T00:00:00Z, where the rows are gone',
    ])
  })
})

it('a line of a long key still says of which output it is', () => {
  const key = 'realAWSCloudwatch/ec2_cpu_utilization_77c1ca'
  const columns = [
    { name: 'bucket', type: 'timestamptz' },
    { name: 'series', type: 'text' },
    { name: 'n', type: 'count' },
    { name: 'p95', type: 'float8' },
  ]
  const rows = ['2026-01-01', '2026-01-02'].map((day) => ({
    bucket: `${day}T00:00:00Z`,
    series: key,
    n: 1,
    p95: 2,
  }))
  const lines = drawAnswer(
    { columns, rows, plan: { parts: [], ms: { total: 1 }, errorBounds: {} } },
    ['series'],
    100,
  )
  expect(lines.slice(0, 2).map((line) => stripVTControlCharacters(line).split('  ')[0]?.trim())).toEqual([
    expect.stringMatching(/^realAWS.*… · n$/),
    expect.stringMatching(/^realAWS.*… · p95$/),
  ])
})
