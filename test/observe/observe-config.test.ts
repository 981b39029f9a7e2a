import { expect, it } from 'vitest'
import { defineConfig } from '../../src/schema/index.ts'

const serverOf = (server: object) => defineConfig({ datasets: [], server: server as never }).server

it('what a server tells of itself has defaults, and each can be said', () => {
  expect(serverOf({})).toMatchObject({
    ...{ metrics: 'admin', slowQueryMs: 500, logValues: false, logLevel: 'info' },
  })
  expect(
    serverOf({ metrics: 'public', slowQuery: '2 seconds', logValues: true, logLevel: 'silent' }),
  ).toMatchObject({ ...{ metrics: 'public', slowQueryMs: 2000, logValues: true, logLevel: 'silent' } })
  expect(serverOf({ slowQuery: null })).toMatchObject({ slowQueryMs: null })
})

it.each([
  [{ metrics: 'everybody' }, /server\.metrics: must be one of public, query, admin/],
  [{ logLevel: 'loud' }, /server\.logLevel: must be one of fatal, error/],
  [{ slowQuery: 'soon' }, /server\.slowQuery/],
  [{ logValues: 'yes' }, /server\.logValues/],
])('%o is refused with what is allowed', (server, message) => {
  expect(() => serverOf(server)).toThrow(message)
})
