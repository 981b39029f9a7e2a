import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { decodeCursor, encodeCursor, type Position, restOf } from '../../src/query/cursor.ts'
import { everything, parseQuery, type RowsQueryNode } from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, t, table } from '../../src/schema/index.ts'
import { fixedClock, infinityInstant, minusInfinityInstant } from '../../src/time/index.ts'

const clock = fixedClock(0n)
const loose = hypertable('suite.loose', { columns: { time: t.timestamptz(), host: t.text() }, time: 'time' })
const typed = hypertable('suite.typed', {
  columns: {
    time: t.timestamptz(),
    text: t.text(),
    ok: t.bool(),
    small: t.int2(),
    big: t.int8(),
    single: t.float4(),
    price: t.numeric(),
    day: t.date(),
    device: t.uuid(),
    seen: t.timestamptz(),
  },
  time: 'time',
  primaryKey: ['text', 'ok', 'small', 'big', 'single', 'price', 'day', 'device', 'seen', 'time'],
})
const plain = table('suite.plain', { columns: { id: t.int4(), name: t.text() }, primaryKey: ['id'] })

const nodeOf = (dataset: HypertableDefinition | typeof plain, over: object = {}): RowsQueryNode =>
  parseQuery({ columns: '*', ...over }, { dataset, clock }) as RowsQueryNode

const digest = '0123456789abcdef0123456789abcdef'
const range = { from: 0n, to: 1000n }

/** A cursor with a right digest around a wrong body. */
function forged(body: readonly unknown[]): string {
  const sum = createHash('sha256').update(JSON.stringify(body)).digest('base64url').slice(0, 16)
  return Buffer.from(JSON.stringify([...body, sum])).toString('base64url')
}

function bodyOf(text: string): unknown[] {
  return JSON.parse(Buffer.from(text, 'base64url').toString()).slice(0, -1)
}

describe('a cursor', () => {
  it('gives back the position, of every type a key may have', () => {
    const positions: readonly (readonly [RowsQueryNode, Position])[] = [
      [nodeOf(loose), { range, after: { keys: [500n, digest], seen: 3 } }],
      [nodeOf(loose), { range: everything, after: { keys: [-1n], seen: 1 } }],
      [nodeOf(loose), { range: everything, after: { keys: [infinityInstant, digest], seen: 1 } }],
      [nodeOf(plain), { range: null, after: { keys: [7], seen: 1 } }],
      ...[
        ['', true, -32768, -(2n ** 63n), Number.NaN, 'NaN', '-infinity', 'f'.repeat(8), minusInfinityInstant],
        ['é"\\\u{1F600}', false, 5, 2n ** 63n - 1n, -Infinity, '-1.50', '0044-03-15 BC', '0'.repeat(8), 0n],
        ['a', false, 0, 0n, 1.5e-7, '0', '2026-01-01', 'a0eebc99', infinityInstant],
      ].map((keys) => {
        const uuid = `${keys[7]}-0000-0000-0000-000000000000`
        const full = [1n, ...keys.slice(0, 7), uuid, keys[8]]
        return [nodeOf(typed), { range, after: { keys: full, seen: 1 } }] as const
      }),
    ]
    for (const [node, position] of positions) {
      const text = encodeCursor(node, position)
      expect(text).toMatch(/^[A-Za-z0-9_-]+$/)
      expect(text.length).toBeLessThan(450)
      expect(decodeCursor(node, text)).toEqual(position)
    }
  })

  it('is short where rows have no key', () => {
    const text = encodeCursor(nodeOf(loose), {
      range: everything,
      after: { keys: [1_774_699_200_000_000n, digest], seen: 1 },
    })
    expect(text.length).toBeLessThan(220)
  })

  it('is refused when anything in it is not what an answer could have had', () => {
    const node = nodeOf(loose)
    const good = bodyOf(encodeCursor(node, { range, after: { keys: [500n, digest], seen: 1 } }))
    const [version, binding, ends, keys, seen] = good
    expect(decodeCursor(node, forged(good)).after.seen).toBe(1)
    const wrong: readonly unknown[][] = [
      [],
      [version],
      [version, binding, ends, keys],
      [version, binding, ends, keys, seen, 0],
      [version, binding, null, keys, seen],
      [version, binding, ['0'], keys, seen],
      [version, binding, ['9', '3'], keys, seen],
      [version, binding, ['0', '9223372036854775807'], keys, seen],
      [version, binding, ['0', 'x'], keys, seen],
      [version, binding, ends, [], seen],
      [version, binding, ends, ['500', digest, digest], seen],
      [version, binding, ends, ['500', 'not a digest'], seen],
      [version, binding, ends, ['500', null], seen],
      [version, binding, ends, [500, digest], seen],
      [version, binding, ends, ['9223372036854775806', digest], seen],
      [version, binding, ends, ['99999999999999999999', digest], seen],
      [version, binding, ends, ["1' or true", digest], seen],
      [version, binding, ends, keys, -1],
      [version, binding, ends, keys, 1.5],
      [version, binding, ends, keys, '1'],
      [version, binding, ends, 'keys', seen],
    ]
    for (const body of wrong)
      expect(() => decodeCursor(node, forged(body)), JSON.stringify(body)).toThrow(
        'cursor: it is not a cursor of an earlier answer, or was changed',
      )
    for (const text of ['', 'x', '%', 'e30', 'W10', 'A'.repeat(200_000)])
      expect(() => decodeCursor(node, text)).toThrow('cursor: it is not a cursor')
  })

  it('of a key is refused when a value is none of its column', () => {
    const node = nodeOf(typed)
    const uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
    const keys = ['1', 'a', true, '5', '5', '1.5', '1.5', '2026-01-01', uuid, '5']
    const [version, binding, ends] = bodyOf(
      encodeCursor(node, {
        range,
        after: { keys: [1n, 'a', true, 5, 5n, 1.5, '1.5', '2026-01-01', uuid, 5n], seen: 1 },
      }),
    )
    expect(decodeCursor(node, forged([version, binding, ends, keys, 1])).after.keys).toHaveLength(10)
    const wrong = [
      'x',
      'a\0',
      'true',
      '1.5',
      '9223372036854775808',
      'one',
      '1,5',
      '2026-1-1',
      uuid.slice(1),
      'now',
    ]
    for (const [i, value] of wrong.entries()) {
      const changed = keys.map((key, at) => (at === i ? value : key))
      expect(() => decodeCursor(node, forged([version, binding, ends, changed, 1])), value).toThrow(
        'cursor: ',
      )
    }
  })

  it('of an earlier version says so', () => {
    const body = [1, 'binding', ['0', '1000'], 'inner']
    expect(() => decodeCursor(nodeOf(loose), forged(body))).toThrow(
      'cursor: its version 1 is not 2; begin again without a cursor',
    )
  })

  it('belongs to its dataset, direction, columns, filter, and to the columns that order rows', () => {
    const text = encodeCursor(nodeOf(loose), { range, after: { keys: [500n, digest], seen: 1 } })
    const wider = hypertable('suite.loose', {
      columns: { time: t.timestamptz(), host: t.text(), added: t.int4().nullable() },
      time: 'time',
    })
    for (const node of [
      nodeOf(loose, { direction: 'desc' }),
      nodeOf(loose, { columns: ['time'] }),
      nodeOf(loose, { where: { host: 'a' } }),
      nodeOf(plain),
      nodeOf(wider, { columns: ['time', 'host'] }),
    ])
      expect(() => decodeCursor(node, text)).toThrow('cursor: it belongs to a query with another dataset')
  })

  it('leaves what lies behind it to read, and nothing before', () => {
    const rest = (direction: 'asc' | 'desc', keys: readonly unknown[], whole = range) =>
      restOf(nodeOf(loose, { direction }), { range: whole, after: { keys, seen: 1 } })
    expect(rest('asc', [500n, digest])).toEqual({ from: 500n, to: 1000n })
    expect(rest('asc', [500n])).toEqual({ from: 501n, to: 1000n })
    expect(rest('desc', [500n, digest])).toEqual({ from: 0n, to: 501n })
    expect(rest('desc', [500n])).toEqual({ from: 0n, to: 500n })
    expect(rest('desc', [infinityInstant, digest], everything)).toEqual(everything)
    expect(rest('asc', [minusInfinityInstant, digest], everything)).toEqual(everything)
    expect(rest('asc', [infinityInstant, digest], everything)).toEqual({
      from: everything.to - 1n,
      to: everything.to,
    })
    expect(restOf(nodeOf(plain), { range: null, after: { keys: [7], seen: 1 } })).toBeNull()
  })
})
