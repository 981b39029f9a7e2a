import type { NextAct, StoredChunk } from 'tidemark/client'
import { formatAgo, formatNumber } from '../../format/index.ts'
import { inZone } from './words.ts'

const acts: readonly (readonly [act: NextAct['act'], done: string, name: string])[] = [
  ['freeze', 'be frozen', 'freeze'],
  ['compact', 'have late rows folded in', 'fold'],
  ['drop', 'be dropped', 'drop'],
]

/** What the worker will do with a table's chunks, and what of it waits and why: a line for each kind. Empty: nothing is declared. */
export function outlookOf(
  chunks: readonly Pick<StoredChunk, 'next' | 'isMoving'>[],
  now: number,
  zone: string,
): readonly string[] {
  return acts.flatMap(([act, done, name]) => {
    const mine = chunks.flatMap(({ next, isMoving }) => (next?.act === act && !isMoving ? [next] : []))
    const due = mine.filter(({ at }) => Date.parse(at) <= now)
    const waiting = due.find(({ waitsFor }) => waitsFor !== null)?.waitsFor ?? null
    const soon = mine.reduce((least, { at }) => {
      const time = Date.parse(at)
      return time > now && time < least ? time : least
    }, Number.POSITIVE_INFINITY)
    const lines: string[] = []
    if (due.length > 0)
      lines.push(
        `${formatNumber(due.length)} due to ${done}${waiting === null ? " at the worker's next run" : `: ${inZone(waiting, zone)}`}`,
      )
    if (Number.isFinite(soon)) lines.push(`next ${name} ${formatAgo(soon, now)}`)
    return lines.length === 0 ? [] : [lines.join('; ')]
  })
}
