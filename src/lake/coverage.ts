import { type Coverage, everything, intersect } from '../query/index.ts'
import type { TimeRange } from '../time/index.ts'
import type { CatalogFile } from './catalog.ts'

/**
 * The stretches of chunks that have files, cut to `range`; neighbours are one. Rows of these chunks may be in their
 * partitions too, so each is a share.
 */
export function coverageOf(files: readonly CatalogFile[], range: TimeRange | null): readonly Coverage[] {
  const whole = range ?? everything
  const stretches: { from: bigint; to: bigint; rows: number; pieces: number }[] = []
  const sorted = [...files].sort((a, b) => (a.chunk.from < b.chunk.from ? -1 : 1))
  for (const file of sorted) {
    const common = intersect(file.chunk, whole)
    if (!common) continue
    const rows = (file.rowCount - file.deletedRows) * shareOf(file, common)
    const last = stretches.at(-1)
    if (last && last.to >= common.from) {
      if (common.to > last.to) last.to = common.to
      last.rows += rows
      last.pieces += 1
    } else stretches.push({ ...common, rows, pieces: 1 })
  }
  return stretches.map(({ from, to, rows, pieces }) => ({
    range: { from, to },
    holds: 'share',
    estimatedRows: Math.round(rows),
    pieces,
  }))
}

function shareOf({ minTime, maxTime }: CatalogFile, range: TimeRange): number {
  const common = intersect({ from: minTime, to: maxTime + 1n }, range)
  return common ? Number(common.to - common.from) / Number(maxTime + 1n - minTime) : 0
}
