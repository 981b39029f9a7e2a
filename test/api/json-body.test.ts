import { expect, it } from 'vitest'
import { parseJsonBody } from '../../src/api/server/json-body.ts'

it('text that only speaks of a forbidden key is no key, nor is a constructor that is no object', () => {
  for (const body of [{ note: '__proto__' }, { constructor: 'x' }, { constructor: {} }, ['__proto__', '\\u']])
    expect(parseJsonBody(JSON.stringify(body))).toEqual(body)
})

it('a forbidden key is named by its place, however it is spelled and however deep it lies', () => {
  expect(() => parseJsonBody('{"select":{"\\u005f_proto__":{"fn":"count"}}}')).toThrow(
    'the key "select.__proto__"',
  )
  expect(() => parseJsonBody('[{"a":{"constructor":{"prototype":1}}}]', 'line 3')).toThrow(
    'line 3 has the key "[0].a.constructor.prototype"',
  )
  const deep = 100_000
  expect(() => parseJsonBody(`${'['.repeat(deep)}{"__proto__":1}${']'.repeat(deep)}`)).toThrow('__proto__')
})
