import { expect, it } from 'vitest'
import { lifecycleDefaults, settleSettings } from '../../src/lifecycle/options.ts'
import { judgeWear } from '../../src/lifecycle/policy.ts'

const hour = 3_600_000
const calm = { deltaRows: 0, fileRows: [1_000_000], deletedRows: 0, restedMs: 2 * hour }
const judge = (wear: Partial<typeof calm>) => judgeWear({ ...calm, ...wear }, lifecycleDefaults)

it('a chunk of one whole file rests', () => {
  expect(judge({})).toBe('rest')
})

it('a few late rows wait for an hour of rest, and cost no rewriting then', () => {
  expect(judge({ deltaRows: 10, restedMs: hour / 2 })).toBe('rest')
  expect(judge({ deltaRows: 10 })).toBe('fold')
})

it('many late rows do not wait', () => {
  expect(judge({ deltaRows: 50_000, restedMs: 0 })).toBe('fold')
})

it('late rows that are a fair share of the chunk have it written anew', () => {
  expect(judge({ deltaRows: 150_000, restedMs: 0 })).toBe('rewrite')
  expect(judge({ fileRows: [1_000_000, 90_000], deltaRows: 20_000 })).toBe('rewrite')
  expect(judge({ fileRows: [1_000_000, 150_000] })).toBe('rewrite')
})

it('deleted rows and many files have it written anew, and what is being written to is left alone', () => {
  expect(judge({ deletedRows: 60_000 })).toBe('rewrite')
  expect(judge({ deletedRows: 60_000, restedMs: 0 })).toBe('rest')
  expect(judge({ deletedRows: 10_000 })).toBe('rest')
  expect(judge({ fileRows: [1_000_000, 1, 1, 1], deltaRows: 1 })).toBe('rewrite')
})

it('an impossible setting is refused by its name', () => {
  expect(() => settleSettings({ looseShare: 2 })).toThrow('lifecycle.looseShare')
  expect(() => settleSettings({ leaseMs: -1 })).toThrow('lifecycle.leaseMs')
})
