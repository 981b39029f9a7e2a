import { expect, it } from 'vitest'
import { defineConfig } from '../../src/schema/index.ts'

it('boards are patterns of JSON files, with a * in their names alone', () => {
  const of = (boards: unknown) => defineConfig({ datasets: [], boards } as never).boards
  expect(of(undefined)).toEqual([])
  expect(of(['boards/*.json', './one.json', '../shared/team-*.json'])).toHaveLength(3)
  expect(Object.isFrozen(of(['a.json']))).toBe(true)
  expect(() => of('boards/*.json')).toThrow(/config\.boards: must be a list/)
  expect(() => of(['boards'])).toThrow(/config\.boards\[0\]: "boards" is not a pattern/)
  expect(() => of(['a.json', 7])).toThrow(/config\.boards\[1\]: 7 is not a pattern/)
  expect(() => of(['teams/*/board.json'])).toThrow(/config\.boards\[0\]: .* has a \* in the name of a folder/)
})
