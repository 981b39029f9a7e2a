import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Report, type ReportAnswer, type ReportRun, toCsv, toHtml } from '../../src/reports/index.ts'
import { chartsOf } from '../../src/reports/render/series.ts'

const report: Report = {
  name: 'weekly',
  tenant: null,
  title: 'Positions of <b>the</b> week & "more"',
  dataset: 'seo.rankings',
  query: { by: ['keyword'] },
  schedule: null,
  keep: 30,
  createdBy: 'test',
  createdAt: '2026-03-01T00:00:00Z',
  changedAt: '2026-03-01T00:00:00Z',
  nextAt: null,
  failures: 0,
  lastError: null,
}
const run: ReportRun = {
  id: '1',
  asOf: '2026-03-08T00:00:00Z',
  askedAt: '2026-03-08T02:00:00.5Z',
  elapsedMs: 12,
  rows: 2,
}
const plan = {
  range: { from: '2026-03-01T00:00:00Z', to: '2026-03-08T00:00:00Z' },
  parts: [{ source: 'cold' }, { source: 'hot' }],
  errorBounds: { p: 'within 1 %' },
}
const answer: ReportAnswer = {
  columns: [
    { name: 'bucket', type: 'timestamptz', nullable: true },
    { name: 'keyword', type: 'text', nullable: true },
    { name: 'n', type: 'int8', nullable: true },
    { name: 'p', type: 'float8', nullable: true },
  ],
  rows: [
    { bucket: '2026-03-01T00:00:00Z', keyword: 'a,"b"\n', n: '9007199254740993', p: 'NaN' },
    { bucket: '2026-03-02T00:00:00Z', keyword: '<script>alert(1)</script>', n: 2, p: null },
    { bucket: '2026-03-02T00:00:00Z', keyword: '', n: 3, p: 1.5 },
  ],
  plan,
}

describe('a report as CSV', () => {
  it('quotes what has to be, and tells nothing from an empty text', () => {
    expect(toCsv(answer)).toBe(
      'bucket,keyword,n,p\r\n' +
        '2026-03-01T00:00:00Z,"a,""b""\n",9007199254740993,NaN\r\n' +
        '2026-03-02T00:00:00Z,<script>alert(1)</script>,2,\r\n' +
        '2026-03-02T00:00:00Z,"",3,1.5\r\n',
    )
  })
})

describe('a report as a page', () => {
  it('has its title, its range, where it was read, a chart of each number and a table', () => {
    const page = toHtml(report, run, answer)
    expect(page).toContain('<h1>Positions of &lt;b&gt;the&lt;/b&gt; week &amp; &quot;more&quot;</h1>')
    expect(page).toContain('2026-03-01 00:00:00 UTC</time> to')
    expect(page).toContain('Read from cold, hot. p: within 1 %.')
    expect(page.match(/<svg /g)).toHaveLength(2)
    expect(page.match(/<tr>/g)).toHaveLength(4)
    expect(page).toContain('9007199254740993')
  })

  it('holds nothing that runs or is fetched, whatever is in its rows', () => {
    const hostile = fc.oneof(
      fc.string(),
      fc.constantFrom('"><img src=x onerror=alert(1)>', "'&<", '</style>'),
    )
    fc.assert(
      fc.property(hostile, hostile, hostile, (title, keyword, name) => {
        const page = toHtml({ ...report, title }, run, {
          columns: [...answer.columns, { name, type: 'text', nullable: true }],
          rows: answer.rows.map((row) => ({ [name]: keyword, ...row, keyword })),
          plan,
        })
        const tags = [...page.matchAll(/<\/?([a-z!][a-z0-9]*)/gi)].map(([, tag]) => tag!.toLowerCase())
        expect([...new Set(tags)].filter((tag) => !allowed.has(tag))).toEqual([])
        expect(page).not.toMatch(/<[^>]*\son\w+=/)
      }),
    )
  })

  it('says so where there is no row, and how many there are where there are too many', () => {
    expect(toHtml(report, run, { ...answer, rows: [] })).toContain('There is no row in this range.')
    const many = Array.from({ length: 1200 }, (_, i) => ({ ...answer.rows[1]!, n: i }))
    const page = toHtml(report, run, { ...answer, rows: many })
    expect(page).toContain('200 more rows are in the CSV.')
  })
})

const allowed = new Set(
  '!doctype html head meta title style body main header h1 p time figure figcaption svg line text g path circle rect ul li div table thead tbody tr th td footer'.split(
    ' ',
  ),
)

describe('charts', () => {
  it('are lines over time, the largest first, and others are counted', () => {
    const rows = Array.from({ length: 24 }, (_, i) => ({
      bucket: `2026-03-0${1 + (i % 2)}T00:00:00Z`,
      keyword: `k${i >> 1}`,
      n: i,
      p: null,
    }))
    const [n] = chartsOf({ columns: answer.columns, rows }, new Set(['keyword']))
    expect(n).toMatchObject({ title: 'n', kind: 'line', leftOut: 2 })
    expect(n!.series[0]).toEqual({
      name: 'k11',
      points: [
        { at: Date.UTC(2026, 2, 1), value: 22 },
        { at: Date.UTC(2026, 2, 2), value: 23 },
      ],
    })
  })

  it('are bars of groups where there is no time, and none where there is nothing to tell apart', () => {
    const columns = answer.columns.slice(1)
    const [n] = chartsOf({ columns, rows: answer.rows }, new Set(['keyword']))
    expect(n!.series.map(({ name }) => name)).toEqual(['a,"b"\n', '', '<script>alert(1)</script>'])
    expect(chartsOf({ columns: columns.slice(1), rows: [{ n: 1, p: 2 }] }, new Set())).toEqual([])
  })
})
