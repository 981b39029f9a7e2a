import { expect, it } from 'vitest'
import { shapeOf, textOfQuestion } from '../../src/observe/query-shape.ts'

it('the shape of a query keeps how it is computed, and nothing of whom it is about', () => {
  const shape = shapeOf({
    from: '2026-01-01T00:00:00Z',
    to: 'now',
    bucket: '1 hour',
    zone: 'Europe/Berlin',
    by: ['model', 'properties.plan'],
    where: {
      user: 'ada@example.org',
      age: { gte: 42 },
      plan: { in: ['pro', 'free'] },
      $or: [{ note: 'secret' }, { note: null }],
    },
    select: {
      n: { fn: 'count', where: { user: 'ada' } },
      p: { fn: 'percentile', column: 'ms', q: 0.95 },
      m: 'requests',
    },
    order: ['-n'],
    limit: 10,
    cursor: 'abc',
  })
  expect(shape).toEqual({
    ...{ from: '?', to: 'now', bucket: '1 hour', zone: 'Europe/Berlin', by: ['model', 'properties.plan'] },
    where: { user: '?', age: { gte: '?' }, plan: { in: '? x 2' }, $or: [{ note: '?' }, { note: null }] },
    select: {
      n: { fn: 'count', where: { user: '?' } },
      p: { fn: 'percentile', column: 'ms', q: 0.95 },
      m: 'requests',
    },
    ...{ order: ['-n'], limit: 10, cursor: '?' },
  })
})

it('names of events are values', () => {
  expect(shapeOf({ from: '-7 days', steps: ['visit', 'signup'], within: '7 days' })).toEqual({
    ...{ from: '-7 days', steps: '? x 2', within: '7 days' },
  })
  expect(shapeOf({ steps: [{ event: 'buy', where: { price: 3 } }, 'visit'] })).toEqual({
    steps: [{ event: '?', where: { price: '?' } }, '?'],
  })
})

it('a question of any size has a shape of a bounded one', () => {
  let deep: unknown = 'value'
  for (let i = 0; i < 1000; i += 1) deep = { $not: deep }
  const wide = Object.fromEntries(
    Array.from({ length: 1000 }, (_, i) => [`${i}`.padStart(500, 'x'), 'value']),
  )
  const many = { $or: Array.from({ length: 1000 }, () => ({ a: 'value' })) }
  for (const question of [deep, wide, many, { by: Array.from({ length: 1000 }, () => 'y'.repeat(500)) }]) {
    const text = JSON.stringify(shapeOf(question))
    expect(text.length).toBeLessThan(5000)
    expect(text).not.toContain('value')
  }
  expect(textOfQuestion({ a: 'x'.repeat(10_000), b: 1n }).length).toBeLessThan(4100)
})
