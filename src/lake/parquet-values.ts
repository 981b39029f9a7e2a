import type { DuckDBDataChunk } from '@duckdb/node-api'
import { dataOf, inlineBytes, slotBytes, validityOf, vectorOf } from './vectors.ts'

/** One column of a batch. */
export interface ParquetValues {
  /** The values as doubles, where every one is there and exact as such: numbers, and times in microseconds. */
  readonly numbers: Float64Array | null
  /** The value of a row, as its kind says; null where there is none. */
  get(row: number): unknown
}

/** Beyond it a double is not exact: 2^53 is 2097152 * 2^32. */
const maxHighWord = 2_097_151

/**
 * Reads a column of a chunk. The client makes an object or a bigint of each value and asks for the validity of each (0.1
 * us a value); numbers are taken as the bytes they are, and texts of up to 12 bytes are looked up before they are made: in
 * a series the same few come again and again.
 */
export function readValues(chunk: DuckDBDataChunk, column: number, type: string): ParquetValues {
  const numbers = isWhole(chunk, column) ? readNumbers(chunk, column, type) : null
  if (numbers !== null) {
    if (type === 'BIGINT') return { numbers, get: (row) => BigInt(numbers[row]!) }
    return { numbers, get: (row) => numbers[row]! }
  }
  const values = type === 'VARCHAR' ? readTexts(chunk, column) : toValues(chunk.getColumnValues(column))
  return { numbers: null, get: (row) => values[row] }
}

function isWhole(chunk: DuckDBDataChunk, column: number): boolean {
  const rows = chunk.rowCount
  const validity = validityOf(vectorOf(chunk, column), rows)
  if (validity === null) return true
  const full = rows >> 3
  for (let i = 0; i < full; i += 1) if (validity[i] !== 255) return false
  const rest = (1 << (rows & 7)) - 1
  return rest === 0 || (validity[full]! & rest) === rest
}

function readNumbers(chunk: DuckDBDataChunk, column: number, type: string): Float64Array | null {
  const rows = chunk.rowCount
  const bytes = (width: number) => {
    const data = dataOf(vectorOf(chunk, column), rows * width)
    return [data.buffer as ArrayBuffer, data.byteOffset, rows] as const
  }
  switch (type) {
    case 'DOUBLE':
      return new Float64Array(new Float64Array(...bytes(8)))
    case 'FLOAT':
      return new Float64Array(new Float32Array(...bytes(4)))
    case 'INTEGER':
      return new Float64Array(new Int32Array(...bytes(4)))
    case 'SMALLINT':
      return new Float64Array(new Int16Array(...bytes(2)))
    case 'TINYINT':
      return new Float64Array(new Int8Array(...bytes(1)))
    case 'UINTEGER':
      return new Float64Array(new Uint32Array(...bytes(4)))
    case 'USMALLINT':
      return new Float64Array(new Uint16Array(...bytes(2)))
    case 'UTINYINT':
      return new Float64Array(new Uint8Array(...bytes(1)))
    case 'BIGINT': {
      const [buffer, offset] = bytes(8)
      const words = new Int32Array(buffer, offset, rows * 2)
      const numbers = new Float64Array(rows)
      for (let i = 0; i < rows; i += 1) {
        const high = words[i * 2 + 1]!
        if (high > maxHighWord || high < -maxHighWord) return null
        numbers[i] = high * 4294967296 + (words[i * 2]! >>> 0)
      }
      return numbers
    }
    default:
      return null
  }
}

/** Texts that were seen, by the words of their slots: direct mapped, so that its size is bounded. */
const seenBits = 12
const seenWords = new Int32Array(4 << seenBits)
const seenTexts: (string | undefined)[] = new Array(1 << seenBits)

function readTexts(chunk: DuckDBDataChunk, column: number): readonly unknown[] {
  const rows = chunk.rowCount
  const vector = vectorOf(chunk, column)
  const validity = validityOf(vector, rows)
  const data = dataOf(vector, rows * slotBytes)
  const words = new Int32Array(data.buffer as ArrayBuffer, data.byteOffset, rows * 4)
  const values: unknown[] = new Array(rows)
  let long: { getItem(row: number): unknown } | null = null
  for (let row = 0; row < rows; row += 1) {
    if (validity !== null && (validity[row >> 3]! & (1 << (row & 7))) === 0) {
      values[row] = null
      continue
    }
    const at = row * 4
    const length = words[at]!
    if (length > inlineBytes) {
      long ??= chunk.getColumnVector(column)
      values[row] = long.getItem(row)
      continue
    }
    const [a, b, c] = [words[at + 1]!, words[at + 2]!, words[at + 3]!]
    let hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35) ^ length
    hash = (hash ^ (hash >>> 15)) & ((1 << seenBits) - 1)
    const seen = hash * 4
    let text = seenTexts[hash]
    if (
      text === undefined ||
      seenWords[seen] !== length ||
      seenWords[seen + 1] !== a ||
      seenWords[seen + 2] !== b ||
      seenWords[seen + 3] !== c
    ) {
      text = Buffer.from(data.buffer, data.byteOffset + row * slotBytes + 4, length).toString('utf8')
      seenTexts[hash] = text
      seenWords[seen] = length
      seenWords[seen + 1] = a
      seenWords[seen + 2] = b
      seenWords[seen + 3] = c
    }
    values[row] = text
  }
  return values
}

function toValues(values: readonly unknown[]): readonly unknown[] {
  const first = values.find((value) => value !== null)
  // only lists arrive as objects; everything else was made plain by the projection
  if (typeof first !== 'object') return values
  return values.map((value) => (value === null ? null : (value as { items: readonly unknown[] }).items))
}
