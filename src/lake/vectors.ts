import { createRequire } from 'node:module'
import type { DuckDBDataChunk } from '@duckdb/node-api'

/**
 * DuckDB's vectors as the bytes they are. The client's own classes make an object of each value; here a column goes in and out
 * as one block of memory (0.02 us a row of 12 columns against some 3 us).
 */

export type RawVector = { readonly __vector: true }

type CopyBytes = (vector: RawVector, at: number, source: ArrayBufferLike, from: number, bytes: number) => void

/** What is used of DuckDB's C API; the module that the client itself has loaded, so both speak of the same objects. */
interface Bindings {
  data_chunk_get_vector(chunk: unknown, column: number): RawVector
  vector_get_data(vector: RawVector, bytes: number): Uint8Array
  vector_get_validity(vector: RawVector, bytes: number): Uint8Array | null
  vector_ensure_validity_writable(vector: RawVector): void
  vector_assign_string_element_len(vector: RawVector, index: number, data: Uint8Array): void
  list_vector_get_child(vector: RawVector): RawVector
  list_vector_get_size(vector: RawVector): number
  list_vector_set_size(vector: RawVector, size: number): void
  list_vector_reserve(vector: RawVector, capacity: number): void
  readonly copy_data_to_vector: CopyBytes
  readonly copy_data_to_vector_validity: CopyBytes
  get_data_from_pointer(source: ArrayBufferLike, pointerAt: number, bytes: number): Uint8Array
}

let loaded: Bindings | null = null

export function bindings(): Bindings {
  if (loaded === null) {
    const require = createRequire(import.meta.url)
    loaded = createRequire(require.resolve('@duckdb/node-api'))('@duckdb/node-bindings') as Bindings
  }
  return loaded
}

/** Rows of a vector at the most; DuckDB's own constant. */
export const vectorRows = 2048

export function vectorOf(chunk: DuckDBDataChunk, column: number): RawVector {
  return bindings().data_chunk_get_vector(chunk.chunk, column)
}

/** Bits of rows that are not null, the lowest first; null: all of them. A view of DuckDB's memory. */
export function validityOf(vector: RawVector, rows: number): Uint8Array | null {
  return bindings().vector_get_validity(vector, ((rows + 63) >> 6) * 8)
}

export function dataOf(vector: RawVector, bytes: number): Uint8Array {
  return bindings().vector_get_data(vector, bytes)
}

/** Up to here a string lies in its slot, from the fifth byte on; a longer one elsewhere, behind the pointer of the last eight bytes. */
export const inlineBytes = 12
/** Four bytes of length, then the string or a prefix and a pointer (duckdb_string_t). */
export const slotBytes = 16
