import type { Cell } from '../tier.ts'

/**
 * Bytes that a value takes in V8, about, and rather too many: what several values share is counted for each. Properties of
 * an object are 8 bytes, a double or bigint in one is another object.
 */
export function sizeOf(value: unknown): number {
  switch (typeof value) {
    case 'number':
      return Number.isInteger(value) && Math.abs(value) < 2 ** 30 ? 0 : 16
    case 'bigint':
      return 24 + (value > -(2n ** 63n) && value < 2n ** 63n ? 0 : value.toString(16).length)
    case 'string':
      return 24 + 2 * value.length
    case 'object':
      return value === null ? 0 : sizeOfObject(value)
    default:
      return 0
  }
}

function sizeOfObject(value: object): number {
  if (ArrayBuffer.isView(value)) return 200 + value.byteLength
  let bytes = 32
  if (Array.isArray(value)) {
    bytes += 8 * value.length
    for (const item of value) bytes += sizeOf(item)
  } else if (value instanceof Map) {
    bytes += 200 + 40 * value.size
    for (const [key, item] of value) bytes += sizeOf(key) + sizeOf(item)
  } else if (value instanceof Set) {
    bytes += 200 + 32 * value.size
    for (const item of value) bytes += sizeOf(item)
  } else {
    for (const item of Object.values(value)) bytes += 8 + sizeOf(item)
    // what a class keeps to itself, it tells
    bytes += (value as { readonly heldBytes?: number }).heldBytes ?? 0
  }
  return bytes
}

/** With the place in memory that holds them. */
export function sizeOfCells(cells: readonly Cell[]): number {
  let bytes = 250
  for (const { keys, states } of cells) {
    bytes += 80 + sizeOf(keys) + 32
    for (const state of states) bytes += 8 + sizeOf(state)
  }
  return bytes
}
