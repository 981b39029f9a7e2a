import { describe, expect, it } from 'vitest'
import { parseSelect, parseWhere, splitSelect } from '../../src/cli/query-args.ts'
import type { DatasetDefinition } from '../../src/schema/index.ts'

const column = (type: string) => ({
  type,
  nullable: false,
  default: null,
  precision: null,
  scale: null,
  comment: null,
})
const dataset = {
  columns: {
    latency: column('float8'),
    status: column('text'),
    ok: column('bool'),
    properties: column('jsonb'),
  },
} as unknown as DatasetDefinition

describe('--select', () => {
  it('takes outputs of a continuous aggregate by their names, beside functions', () => {
    expect(
      parseSelect(splitSelect('requests,p95, all = requests,p50=percentile(latency,0.5)'), [
        'requests',
        'p95',
      ]),
    ).toEqual({
      requests: 'requests',
      p95: 'p95',
      all: 'requests',
      p50: { fn: 'percentile', column: 'latency', q: 0.5 },
    })
    expect(() => parseSelect(['other'], ['requests'])).toThrow(/write name=function/)
  })

  it('names outputs, or makes a name from function and column', () => {
    expect(parseSelect(splitSelect('n=count(),p95=percentile(latency,0.95),sum(latency)'))).toEqual({
      n: { fn: 'count' },
      p95: { fn: 'percentile', column: 'latency', q: 0.95 },
      sum_latency: { fn: 'sum', column: 'latency' },
    })
  })

  it.each([
    ['latency', /write name=function\(column\)/],
    ['p=percentile(latency)', /a number is missing/],
    ['p=percentile(latency,high)', /"high" is not a number/],
    ['sum(latency,2)', /sum takes one column/],
  ])('refuses %s and says what is allowed', (text, message) => {
    expect(() => parseSelect([text])).toThrow(message)
  })

  it('refuses two outputs with one name', () => {
    expect(() => parseSelect(['a=count()', 'a=sum(latency)'])).toThrow(/two outputs called "a"/)
  })
})

describe('--where', () => {
  it('reads numbers where the column has them and text where it has text', () => {
    expect(parseWhere(['latency>=10'], dataset)).toEqual({ latency: { gte: 10 } })
    expect(parseWhere(['status=10'], dataset)).toEqual({ status: { eq: '10' } })
    expect(parseWhere(['ok=true'], dataset)).toEqual({ ok: { eq: true } })
    expect(parseWhere(['properties.plan=pro'], dataset)).toEqual({ 'properties.plan': { eq: 'pro' } })
    expect(parseWhere(['properties.seats=3'], dataset)).toEqual({ 'properties.seats': { eq: 3 } })
  })

  it('joins several conditions by and, and takes JSON', () => {
    expect(parseWhere(['latency<1', '{"status":"ok"}'], dataset)).toEqual({
      $and: [{ latency: { lt: 1 } }, { status: 'ok' }],
    })
  })

  it('knows null', () => {
    expect(parseWhere(['status=null'], dataset)).toEqual({ status: null })
    expect(parseWhere(['status!=null'], dataset)).toEqual({ status: { not: null } })
  })

  it('refuses what is no condition', () => {
    expect(() => parseWhere(['status'], dataset)).toThrow(/write column, operator/)
    expect(() => parseWhere(['{"status":'], dataset)).toThrow(/is not JSON/)
  })
})
