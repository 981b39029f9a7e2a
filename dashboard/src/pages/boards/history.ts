import { type Draft, isSame } from './document.ts'

/** What was done to a draft, so that it can be taken back; pure. */
export interface History {
  readonly now: Draft
  /** The oldest first. */
  readonly past: readonly Entry[]
  /** What was taken back, the next one last. */
  readonly future: readonly Entry[]
}

interface Entry {
  readonly draft: Draft
  /** What led away from it: `removed “Latency”`. */
  readonly act: string
}

const mostSteps = 100

export const began = (now: Draft): History => ({ now, past: [], future: [] })

/** A change that changes nothing is none. */
export function did(history: History, act: string, draft: Draft): History {
  if (isSame(history.now, draft)) return history
  return { now: draft, past: [...history.past, { draft: history.now, act }].slice(-mostSteps), future: [] }
}

export function undone(history: History): { readonly history: History; readonly act: string } | null {
  const last = history.past.at(-1)
  if (!last) return null
  return {
    act: last.act,
    history: {
      now: last.draft,
      past: history.past.slice(0, -1),
      future: [...history.future, { draft: history.now, act: last.act }],
    },
  }
}

export function redone(history: History): { readonly history: History; readonly act: string } | null {
  const next = history.future.at(-1)
  if (!next) return null
  return {
    act: next.act,
    history: {
      now: next.draft,
      past: [...history.past, { draft: history.now, act: next.act }],
      future: history.future.slice(0, -1),
    },
  }
}
