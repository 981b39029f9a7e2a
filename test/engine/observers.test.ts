import { expect, it } from 'vitest'
import { type EndedQuery, Observers } from '../../src/engine/index.ts'
import type { Answer } from '../../src/query/index.ts'
import { t, table } from '../../src/schema/index.ts'

const dataset = table('notes', { columns: { id: t.int8() }, primaryKey: ['id'] })
const about = { kind: 'query', dataset, question: { limit: 1 }, origin: null } as const
const answer = { rows: [{ id: 1n }], columns: [], cursor: null, plan: { parts: [] } } as unknown as Answer

it('observers are told of what has ended, well or not, before its caller is; and nothing after they have left', async () => {
  const observers = new Observers()
  const told: EndedQuery[] = []
  const order: string[] = []
  const end = observers.add({
    onQuery: (query) => {
      told.push(query)
      order.push('observer')
    },
  })
  expect(await observers.query(about, async () => answer)).toBe(answer)
  order.push('caller')
  const failure = new Error('away')
  await expect(observers.query(about, async () => Promise.reject(failure))).rejects.toBe(failure)
  await expect(
    observers.query(about, () => {
      throw failure
    }),
  ).rejects.toBe(failure)
  expect(order).toEqual(['observer', 'caller', 'observer', 'observer'])
  expect(told).toMatchObject([
    { ...about, rows: 1, plan: { parts: [] }, error: null, ms: expect.any(Number) },
    { ...about, rows: null, plan: null, error: failure },
    { ...about, rows: null, plan: null, error: failure },
  ])
  end()
  await observers.query(about, async () => answer)
  expect(told).toHaveLength(3)
})

it('each observer is told what it asks for', async () => {
  const observers = new Observers()
  const commits: number[] = []
  observers.add({})
  observers.add({ onCommit: ({ rows }) => commits.push(rows) })
  observers.add({ onCommit: ({ rows }) => commits.push(-rows) })
  observers.committed({ dataset: 'notes', batches: 1, rows: 5, ms: 1 })
  await observers.query(about, async () => answer)
  expect(commits).toEqual([5, -5])
})
