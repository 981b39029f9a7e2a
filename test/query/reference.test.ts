import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { aggregateFunctions } from '../../src/aggregate/index.ts'
import { defaultQueryLimits, parseQuery } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { systemClock } from '../../src/time/index.ts'

const text = readFileSync(new URL('../../docs/reference/query.md', import.meta.url), 'utf8')

const requests = hypertable('metrics.llm_requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    status: t.text(),
    userId: t.text().nullable(),
    latencyMs: t.float8(),
    promptTokens: t.int4(),
    properties: t.jsonb().nullable(),
    tags: t.textArray(),
  },
  time: 'time',
})

describe('the reference of queries', () => {
  it('has only examples that are valid', () => {
    const examples = [...text.matchAll(/```json\n([\s\S]*?)```/g)].map(([, source]) => source as string)
    expect(examples.length).toBeGreaterThanOrEqual(5)
    const kinds = examples.map(
      (source) => parseQuery(JSON.parse(source), { dataset: requests, clock: systemClock }).kind,
    )
    expect(new Set(kinds)).toEqual(new Set(['aggregate', 'rows', 'latest']))
  })

  it('states every limit with its default', () => {
    const rows = [...text.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, name, value]) => [name, value])
    const documented = Object.fromEntries(
      rows.filter(([name]) => Object.hasOwn(defaultQueryLimits, name as string)),
    )
    const actual = Object.fromEntries(
      Object.entries(defaultQueryLimits).map(([name, value]) => [name, String(value)]),
    )
    expect(documented).toEqual(actual)
  })

  it('has every function', () => {
    const table = text.slice(text.indexOf('### Functions'), text.indexOf('### Filling gaps'))
    for (const fn of aggregateFunctions) expect(table).toContain(`\`${fn}\``)
  })
})
