import type { Operation } from 'tidemark/client'
import { formatBytes, formatNumber } from '../../format/index.ts'

/** At most that many are told; the rest is counted. */
const most = 20

const advice: Readonly<Record<string, string>> = {
  missing: 'Bring the file back from a backup of the lake, then verify again.',
  damaged: 'Bring the file back from a backup of the lake, or look at the disk; then verify again.',
  stray: 'A sweep removes it when it is old enough.',
}

/** What a report holds that somebody should look at: chunks that were left where they were, files that are not well. */
export function reportFindings({ report }: Pick<Operation, 'report'>): readonly string[] {
  if (report === null) return []
  const findings = [
    ...parts(report['failed']).map(({ chunk, reason }) => `Chunk ${chunk}: ${reason}`),
    ...list(report['taken']).map(
      (chunk) =>
        `Chunk ${String(chunk)} is moved by somebody else at this moment: try again when that is done.`,
    ),
    ...parts(report['problems']).map(({ kind, path, problem }) => {
      const where = path === undefined || path === null ? '' : `${String(path)} `
      const what = advice[String(kind)]
      return `${where}${String(problem)}${what === undefined ? '' : `. ${what}`}`
    }),
  ]
  // the lists are cut by the server, and counted
  const counts = Object.values(report['counts'] ?? {}).filter((count) => typeof count === 'number')
  const all = Math.max(
    findings.length,
    counts.reduce((sum, count) => sum + count, 0),
  )
  if (all <= most) return findings
  return [...findings.slice(0, most), `and ${formatNumber(all - most)} more`]
}

/** What a freeze made of how much; empty where it is not one that moved anything. */
export function reportSizes({ kind, report }: Pick<Operation, 'kind' | 'report'>): string {
  const before = report?.['bytesBefore']
  const after = report?.['bytes']
  if (kind !== 'freeze' || typeof before !== 'number' || typeof after !== 'number' || before === 0) return ''
  return `: ${formatBytes(before)} in PostgreSQL became ${formatBytes(after)} in the lake`
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function parts(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return list(value).filter((one): one is Record<string, unknown> => typeof one === 'object' && one !== null)
}
