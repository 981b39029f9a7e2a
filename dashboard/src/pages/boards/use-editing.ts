import { useCallback, useEffect, useMemo, useState } from 'react'
import type { Board } from 'tidemark/client'
import { type Draft, draftOf, isSame, withPanel } from './document.ts'
import { clearWaiting, waiting } from './handover.ts'
import { began, did, type History, redone, undone } from './history.ts'

export interface Editing {
  /** The version that the draft was made from. */
  readonly base: Board
  readonly draft: Draft
  readonly isChanged: boolean
  readonly canUndo: boolean
  readonly canRedo: boolean
  /** `act` is what was done, for whoever takes it back: `removed “Latency”`. */
  change(act: string, next: Draft | ((draft: Draft) => Draft)): void
  /** What was taken back; null: nothing was left. */
  undo(): string | null
  redo(): string | null
  /** Goes on from another version, with this draft. */
  rebase(base: Board, act: string, draft: Draft): void
}

interface State {
  readonly base: Board
  readonly history: History
}

const key = (id: string): string => `tidemark.board.${id}.draft`

/** A draft that was left in this tab without being saved. */
export function keptDraft(id: string): { readonly base: Board; readonly draft: Draft } | null {
  const text = sessionStorage.getItem(key(id))
  return text === null ? null : (JSON.parse(text) as { base: Board; draft: Draft })
}

export function hasDraft(id: string): boolean {
  return sessionStorage.getItem(key(id)) !== null
}

export function forgetDraft(id: string): void {
  sessionStorage.removeItem(key(id))
  clearWaiting(id)
}

export function keepDraft(base: Board, draft: Draft): void {
  sessionStorage.setItem(key(base.id), JSON.stringify({ base, draft }))
}

/** A draft with its history while the board is edited. What is not saved is kept in this tab, through reloads and the way to Explore and back. */
export function useEditing(board: Board, isEditing: boolean): Editing | null {
  const [state, setState] = useState<State | null>(() => (isEditing ? start(board) : null))
  if (isEditing && state === null) setState(start(board))
  if (!isEditing && state !== null) setState(null)
  const base = state?.base ?? null
  const now = state?.history.now ?? null
  const isChanged = useMemo(() => base !== null && !isSame(now, draftOf(base)), [now, base])

  useEffect(() => {
    if (base === null || now === null) return
    clearWaiting(base.id)
    if (isChanged) keepDraft(base, now)
    else forgetDraft(base.id)
  }, [base, now, isChanged])

  const change = useCallback<Editing['change']>((act, next) => {
    setState((was) => {
      if (was === null) return was
      const draft = typeof next === 'function' ? next(was.history.now) : next
      return { ...was, history: did(was.history, act, draft) }
    })
  }, [])
  const rebase = useCallback<Editing['rebase']>((next, act, draft) => {
    setState((was) => was && { base: next, history: did(was.history, act, draft) })
  }, [])
  if (state === null) return null

  const { past, future } = state.history
  const go = (step: ReturnType<typeof undone>): string | null => {
    if (step) setState({ base: state.base, history: step.history })
    return step?.act ?? null
  }
  return {
    base: state.base,
    draft: state.history.now,
    isChanged,
    canUndo: past.length > 0,
    canRedo: future.length > 0,
    change,
    rebase,
    undo: () => go(undone(state.history)),
    redo: () => go(redone(state.history)),
  }
}

/** Where this tab left off, and with what came from Explore. */
function start(board: Board): State {
  const kept = keptDraft(board.id)
  const state = kept
    ? { base: kept.base, history: did(began(draftOf(kept.base)), 'changed the board', kept.draft) }
    : { base: board, history: began(draftOf(board)) }
  return waiting(board.id).reduce(
    ({ base, history }, panel) => ({
      base,
      history: did(history, `took “${panel.title}” from Explore`, withPanel(history.now, panel)),
    }),
    state,
  )
}
