import { expect, it } from 'vitest'
import { requestIdOf, traceOf } from '../../src/observe/index.ts'

const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
const parent = '00f067aa0ba902b7'
const traceparent = `00-${trace}-${parent}-01`

it('the id of a request is the one that it brings, where that is well-formed', () => {
  expect(requestIdOf({ 'x-request-id': 'checkout-17', traceparent })).toBe('checkout-17')
  expect(requestIdOf({ traceparent })).toBe(`${trace}-${parent}`)
  expect(traceOf({ traceparent })).toEqual({ trace, parent })
})

it.each([
  { 'x-request-id': '' },
  { 'x-request-id': 'a b' },
  { 'x-request-id': 'line\nend' },
  { 'x-request-id': '<script>' },
  { 'x-request-id': 'x'.repeat(129) },
  { 'x-request-id': ['a', 'b'] },
  { traceparent: `00-${'0'.repeat(32)}-${parent}-01` },
  { traceparent: `00-${trace}-${'0'.repeat(16)}-01` },
  { traceparent: `ff-${trace}-${parent}-01` },
  { traceparent: `00-${trace.toUpperCase()}-${parent}-01` },
  { traceparent: `00-${trace}-${parent}` },
  {},
])('everything else gets a new one: %o', (headers) => {
  expect(requestIdOf(headers)).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-/)
  expect(traceOf(headers)).toBeNull()
})
