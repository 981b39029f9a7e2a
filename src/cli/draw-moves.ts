import pc from 'picocolors'
import type { ChunkProgress, MoveReport } from '../engine/index.ts'
import { formatBytes, formatDuration, formatNumber } from './draw.ts'
import type { ProgressState } from './progress.ts'

const stages: Readonly<Record<ChunkProgress['stage'], string>> = {
  export: 'reading',
  write: 'writing',
  verify: 'reading back',
  summarize: 'summarizing',
  flip: 'switching',
  'copy back': 'copying back',
  done: 'done',
}

export function describeMove(progress: ChunkProgress): ProgressState {
  const { dataset, stage, rows, rowsDone, chunksDone, chunksTotal, secondsLeft } = progress
  const moved = rowsDone + (stage === 'done' ? 0 : rows)
  const current = Math.min(chunksDone + (stage === 'done' ? 0 : 1), Math.max(chunksTotal, 1))
  return {
    share: chunksTotal > 0 ? Math.min(1, chunksDone / chunksTotal) : null,
    text: `${dataset}: chunk ${current} of ${chunksTotal}, ${stages[stage]}, ${formatNumber(moved)} rows`,
    etaMs: secondsLeft === null ? null : secondsLeft * 1000,
  }
}

/** `12 chunks, 1,000,000 rows in 3.2 s, 310 k rows/s`. */
export function describeMoved({ chunks, rows, elapsedMs }: MoveReport): string {
  const rate =
    rows > 0 && elapsedMs > 0 ? `, ${formatNumber(Math.round((rows / elapsedMs) * 1000))} rows/s` : ''
  return `${countOf(chunks, 'chunk')}, ${formatNumber(rows)} rows in ${formatDuration(elapsedMs)}${rate}`
}

/** `44.4 MiB with indexes -> 2.1 MiB, 21.1 times smaller`. */
export function describeSizes(before: number, after: number): string {
  const times = after > 0 && before > after ? `, ${(before / after).toFixed(1)} times smaller` : ''
  return `${formatBytes(before)} with indexes -> ${formatBytes(after)}${times}`
}

/** Chunks that were left out, each with its reason. */
export function drawLeftOut({ taken, failed }: Pick<MoveReport, 'taken' | 'failed'>): string[] {
  return [
    ...failed.map(({ chunk, reason }) => pc.red(`✗ chunk ${chunk}: ${reason}`)),
    ...(taken.length > 0
      ? [pc.yellow(`! ${countOf(taken.length, 'chunk')} are being moved by somebody else`)]
      : []),
  ]
}

export function countOf(count: number, what: string): string {
  return `${formatNumber(count)} ${what}${count === 1 ? '' : 's'}`
}
