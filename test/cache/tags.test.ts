import { describe, expect, it } from 'vitest'
import { joinChanges, tagsChanged, tagsOf } from '../../src/cache/tags.ts'

describe('tags', () => {
  it('of an answer are changed by whatever changes its rows, and by nothing of another tenant or table', () => {
    const touched = (tenant: string | null, datasets: string[], change: [string, string | null]): boolean => {
      const scope = tenant === null ? ({ kind: 'all' } as const) : ({ kind: 'one', tenant } as const)
      const tags = new Set(tagsOf(datasets, scope))
      const [dataset, of] = change
      return tagsChanged([{ dataset, tenant: of, range: null }]).some(({ tag }) => tags.has(tag))
    }
    expect(touched('x', ['a'], ['a', 'x'])).toBe(true)
    expect(touched('x', ['a'], ['a', null])).toBe(true)
    expect(touched('x', ['a'], ['a', 'y'])).toBe(false)
    expect(touched('x', ['a', 'b'], ['b', null])).toBe(true)
    expect(touched(null, ['a'], ['a', 'y'])).toBe(true)
    expect(touched(null, ['a'], ['b', null])).toBe(false)
    // names that look like parts of tags
    expect(touched('*', ['a'], ['a', 'y'])).toBe(false)
    expect(touched('x', ['a:=x'], ['a', 'x'])).toBe(false)
    expect(touched('', ['a'], ['a', '*'])).toBe(false)
  })

  it('that wait long to be told take no more room, and lose nothing', () => {
    let waiting = tagsChanged([{ dataset: 'a', tenant: null, range: { from: 0n, to: 1n } }])
    for (let i = 1n; i <= 1000n; i++)
      waiting = joinChanges([
        ...waiting,
        ...tagsChanged([{ dataset: 'a', tenant: null, range: { from: i * 10n, to: i * 10n + 1n } }]),
      ])
    for (const { ranges } of waiting) {
      expect(ranges!.length).toBeLessThanOrEqual(64)
      expect(ranges!.some(({ from, to }) => from <= 5000n && to >= 5001n)).toBe(true)
      expect(Math.max(...ranges!.map(({ to }) => Number(to)))).toBe(10_001)
    }
    const anywhere = joinChanges([...waiting, ...tagsChanged([{ dataset: 'a', tenant: null, range: null }])])
    expect(anywhere.every(({ ranges }) => ranges === null)).toBe(true)
  })
})
