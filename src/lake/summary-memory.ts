import type { LakeFile, LakeSummary } from './contract.ts'

export type SummarizedFile = LakeFile & { readonly summary: LakeSummary }

/** Values of a column in the order of the summary, as `DuckDBAnswer` has them. */
export type SummaryColumn = readonly unknown[]

/**
 * Summaries that were read, column by column. Paths are never used twice and what lies there never changes, so what is
 * held is true for as long as it is held.
 */
export interface SummaryMemory {
  /** Whether a scan of these is answered from here: others are left to DuckDB, whose threads merge many cells sooner. */
  takes(files: readonly SummarizedFile[]): boolean
  /** Null when one of the columns is not held. */
  get(path: string, names: readonly string[]): readonly SummaryColumn[] | null
  hold(path: string, names: readonly string[], columns: readonly SummaryColumn[]): void
}

/** Bytes of summaries, as files, that one scan merges in TypeScript: some 10,000 cells, a millisecond for each state. */
const maxScannedBytes = 512 * 1024

/** A reference and the value behind it, of which many are shared. */
const bytesOfValue = 16

/** @param maxBytes Held at the most, about; the least recently used go first. 0: nothing is, and DuckDB merges all. */
export function createSummaryMemory(maxBytes: number): SummaryMemory {
  const held = new Map<string, Map<string, SummaryColumn>>()
  let bytes = 0

  function touch(path: string, columns: Map<string, SummaryColumn>): void {
    held.delete(path)
    held.set(path, columns)
  }

  return {
    takes: (files) =>
      maxBytes > 0 && files.reduce((sum, { summary }) => sum + summary.bytes, 0) <= maxScannedBytes,

    get(path, names) {
      const known = held.get(path)
      if (known === undefined) return null
      touch(path, known)
      const columns = names.map((name) => known.get(name))
      return columns.includes(undefined) ? null : (columns as SummaryColumn[])
    },

    hold(path, names, columns) {
      const known = held.get(path) ?? new Map<string, SummaryColumn>()
      for (const [i, name] of names.entries()) {
        if (!known.has(name)) bytes += columns[i]!.length * bytesOfValue
        known.set(name, columns[i]!)
      }
      touch(path, known)
      for (const [oldest, of] of held) {
        if (bytes <= maxBytes) return
        held.delete(oldest)
        for (const column of of.values()) bytes -= column.length * bytesOfValue
      }
    },
  }
}
