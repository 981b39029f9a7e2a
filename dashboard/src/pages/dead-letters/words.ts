import type { DeadLetterFilter, DeadLetterPage, DeadLetterReplay, DeadLetterState } from 'tidemark/client'
import { formatNumber } from '../../format/index.ts'

export function stateOf(state: DeadLetterState): { kind: 'ok' | 'warn' | 'error'; label: string } {
  if (state === 'corrected') return { kind: 'ok', label: 'corrected' }
  return state === 'refused' ? { kind: 'warn', label: 'refused' } : { kind: 'error', label: 'unreadable' }
}

/** `1 letter`, `2 letters` */
export function lettersOf(n: number, isAtLeast = false): string {
  return `${isAtLeast ? 'at least ' : ''}${formatNumber(n)} ${n === 1 ? 'letter' : 'letters'}`
}

/** The server counts 200 groups at most. */
const maxGroups = 200

export function countOf(groups: DeadLetterPage['groups']): {
  readonly count: number
  readonly isAtLeast: boolean
} {
  return { count: groups.reduce((sum, { rows }) => sum + rows, 0), isAtLeast: groups.length >= maxGroups }
}

/** In words: `of app.visits, reason column`. '' of everything. */
export function filterWords({ dataset, reason, column, text, state }: DeadLetterFilter): string {
  return [
    dataset && `of ${dataset}`,
    reason && `reason ${reason}`,
    column && `column ${column}`,
    text && `with “${text}”`,
    state && `that are ${state}`,
  ]
    .filter((words) => words)
    .join(', ')
}

/** `8 inserted, 1 updated`: what became of rows that went in. */
export function storedWords({ inserted, updated, ignored, merged, duplicates }: DeadLetterReplay): string {
  return (
    [
      [inserted, 'inserted'],
      [updated, 'updated'],
      [ignored, 'ignored, as their key exists'],
      [merged, 'merged into aggregates'],
      [duplicates, 'known by their event id'],
    ] as const
  )
    .filter(([n]) => n > 0)
    .map(([n, words]) => `${formatNumber(n)} ${words}`)
    .join(', ')
}
