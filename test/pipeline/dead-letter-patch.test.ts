import { describe, expect, test } from 'vitest'
import { checkChange, patchRow, valueOfText } from '../../src/pipeline/dead-letter-patch.ts'
import { t, table } from '../../src/schema/index.ts'

describe('a change of a stored row', () => {
  test('renames, drops and sets, in this order, and says so as JSON Patch', () => {
    const row = { userid: 'u', old: 1, ms: 'slow', 'a/b': 2 }
    const change = {
      set: { ms: 5, note: null },
      drop: ['old', 'a/b', 'absent'],
      rename: { userid: 'user_id' },
    }
    expect(patchRow(row, change)).toEqual({
      row: { user_id: 'u', ms: 5, note: null },
      patch: [
        { op: 'move', from: '/userid', path: '/user_id' },
        { op: 'remove', path: '/old' },
        { op: 'remove', path: '/a~1b' },
        { op: 'replace', path: '/ms', value: 5 },
        { op: 'add', path: '/note', value: null },
      ],
    })
    expect(row).toEqual({ userid: 'u', old: 1, ms: 'slow', 'a/b': 2 })
  })

  test('does nothing where nothing of it is there', () => {
    expect(patchRow({ a: 1 }, { rename: { b: 'c' }, drop: ['d'] })).toEqual({ row: { a: 1 }, patch: [] })
  })

  test('never overwrites a column by a renamed one', () => {
    expect(patchRow({ a: 1, b: 2 }, { rename: { a: 'b' } })).toContain('has "b" already')
    expect(patchRow({ a: 1, b: 2 }, { rename: { a: 'b', b: 'c' } })).toContain('has "b" already')
    expect(patchRow({ a: 1, b: 2 }, { rename: { b: 'c', a: 'b' } })).toMatchObject({ row: { b: 1, c: 2 } })
  })

  test('takes a whole row where the letter holds none, and only then can do without one', () => {
    expect(patchRow(null, { set: { a: 1 } })).toContain('give it whole')
    expect(patchRow(null, { row: { a: 1 }, set: { b: 2 } })).toEqual({
      row: { a: 1, b: 2 },
      patch: [
        { op: 'add', path: '', value: { a: 1 } },
        { op: 'add', path: '/b', value: 2 },
      ],
    })
  })

  test.each([[{}], [{ set: {} }], [{ drop: [''] }], [{ rename: { a: '__proto__' } }]])(
    'is refused where it says nothing, or what no row has: %j',
    (change) => {
      expect(() => checkChange(change)).toThrow('change')
    },
  )
})

test('a text of the command line is what the column takes', () => {
  const items = table('items', {
    columns: { id: t.int8(), n: t.int4(), note: t.text().nullable(), tags: t.jsonb(), ok: t.bool() },
    primaryKey: ['id'],
  })
  const value = (column: string, text: string) => valueOfText(items, column, text)
  expect(value('note', '5')).toBe('5')
  expect(value('note', 'true')).toBe('true')
  expect(value('note', 'null')).toBeNull()
  expect(value('note', '"null"')).toBe('null')
  expect(value('note', 'a=b')).toBe('a=b')
  expect(value('n', '5')).toBe(5)
  expect(value('n', 'five')).toBe('five')
  expect(value('id', '9007199254740993')).toBe('9007199254740993')
  expect(value('tags', '{"a":[1]}')).toEqual({ a: [1] })
  expect(value('ok', 'true')).toBe(true)
  expect(valueOfText(null, 'any', '5')).toBe('5')
})
