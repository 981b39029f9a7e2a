import type { DuckDBValue } from '@duckdb/node-api'
import { loadDuckDB } from './duckdb.ts'

/** A bit for each row of a file, set where it no longer counts. DuckDB's BIT: how many bits of the first byte are padding, then the bits, the padding ones set. */
export function deletedBits(rowCount: number, places: ArrayLike<number>): DuckDBValue {
  const padding = (8 - (rowCount % 8)) % 8
  const bytes = new Uint8Array(1 + Math.ceil(rowCount / 8))
  bytes[0] = padding
  for (let i = 0; i < padding; i++) bytes[1]! |= 1 << (7 - i)
  for (let i = 0; i < places.length; i++) {
    const bit = places[i]! + padding
    bytes[1 + (bit >> 3)]! |= 1 << (7 - (bit & 7))
  }
  const { DuckDBBitValue } = loadDuckDB()
  return new DuckDBBitValue(bytes)
}
