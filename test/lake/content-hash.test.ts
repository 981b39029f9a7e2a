import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HashSum } from '../../src/lake/murmur.ts'

function hashOf(...texts: readonly (string | Uint8Array)[]): string {
  const sum = new HashSum()
  for (const text of texts) {
    const bytes = Buffer.from(text as string)
    sum.add(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length)
  }
  return Buffer.from(sum.bytes()).toString('hex')
}

describe('the content hash', () => {
  // the published answers of MurmurHash3_x86_128, seed 0; the last word stands first here
  it.each([
    ['', '00000000000000000000000000000000'],
    ['The quick brown fox jumps over the lazy dog', 'e5e91d2c5d7bf66cecee2c672f1583c3'],
  ])('of %j is that of the published function', (text, expected) => {
    expect(hashOf(text)).toBe(expected)
  })

  it('does not depend on the order of rows, and counts equal ones', () => {
    const rows = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 })
    fc.assert(
      fc.property(rows, (list) => {
        expect(hashOf(...[...list].reverse())).toBe(hashOf(...list))
        if (list.length > 0 && list[0]!.length > 0) {
          expect(hashOf(...list, list[0]!)).not.toBe(hashOf(...list))
          expect(hashOf(...list.slice(1))).not.toBe(hashOf(...list))
        }
      }),
    )
  })

  it('adds without losing a carry, however many rows there are', () => {
    const bytes = Buffer.from('a row')
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const one = BigInt(`0x${hashOf(bytes)}`)
    const sum = new HashSum()
    const count = (1 << 20) * 2 + 3
    for (let i = 0; i < count; i += 1) sum.add(view, 0, bytes.length)
    expect(sum.count).toBe(count)
    expect(BigInt(`0x${Buffer.from(sum.bytes()).toString('hex')}`)).toBe(
      BigInt.asUintN(128, one * BigInt(count)),
    )
  })

  it('is another for every byte that is changed', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 100 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (bytes, at, flip) => {
          const changed = Uint8Array.from(bytes)
          changed[at % bytes.length]! ^= flip
          expect(hashOf(changed)).not.toBe(hashOf(bytes))
        },
      ),
    )
  })
})
