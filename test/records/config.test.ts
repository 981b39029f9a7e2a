import { expect, it } from 'vitest'
import { defineConfig, t, table } from '../../src/schema/index.ts'

const things = table('app.things', { columns: { id: t.int4() }, primaryKey: ['id'] })
const read = (requireVersion: unknown) =>
  defineConfig({ datasets: [things], records: { requireVersion: requireVersion as boolean } }).records

it('versions are demanded in no table, in all, or in those that are named', () => {
  expect(defineConfig({ datasets: [things] }).records).toEqual({ requireVersion: false })
  expect(read(true)).toEqual({ requireVersion: true })
  expect(read(['app.things'])).toEqual({ requireVersion: ['app.things'] })
})

it('a table that is not declared, and what is neither a list nor yes or no, are told', () => {
  expect(() => read(['app.thing'])).toThrow(/records\.requireVersion\[0\].*"app\.thing"/)
  expect(() => read('app.things')).toThrow(/records\.requireVersion/)
  expect(() => defineConfig({ datasets: [things], records: { require: true } as never })).toThrow(/records/)
})
