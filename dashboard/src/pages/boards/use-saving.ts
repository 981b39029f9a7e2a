import { useEffect, useEffectEvent, useReducer, useState } from 'react'
import { type Board, isTidemarkClientError } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { useToast } from '../../shell/index.ts'
import { copyName, type Draft } from './document.ts'
import { useBoardActs } from './use-board-acts.ts'
import { type Editing, forgetDraft, hasDraft, keepDraft, keptDraft } from './use-editing.ts'

export interface Saving {
  readonly busy: boolean
  /** The server's board, when somebody was quicker. */
  readonly conflict: Board | null
  /** What the server refused the draft with, until it is saved. */
  readonly error: unknown
  /** There is a draft of before, and the board is not being edited. */
  readonly kept: boolean
  save(): Promise<void>
  /** Both together, over their version. */
  saveMerged(both: Draft): Promise<void>
  /** As a board of its own; the other one stays as it is. */
  saveCopy(): Promise<void>
  /** Without a draft: this, over the version that is shown. */
  saveNow(draft: Draft): Promise<void>
  compare(theirs: Board): void
  closeConflict(): void
  /** Ends editing without saving; it can be taken back. */
  discard(): void
  /** Throws the kept draft away; it can be taken back. */
  drop(): void
}

/** Takes a draft to the server, and what comes of it when somebody else was there before. */
export function useSaving(options: {
  readonly board: Board
  readonly editing: Editing | null
  readonly onBoard: (board: Board) => void
  readonly onDone: () => void
}): Saving {
  const { board, editing, onBoard, onDone } = options
  const client = useClient()
  const toast = useToast()
  const acts = useBoardActs()
  const [busy, setBusy] = useState(false)
  const [conflict, setConflict] = useState<Board | null>(null)
  const [error, setError] = useState<unknown>(null)
  // what is kept is in the storage of the tab, which tells nobody when it changes
  const [, look] = useReducer((n: number) => n + 1, 0)
  const kept = editing === null && board.source === 'stored' && hasDraft(board.id)

  const put = async (over: Board, draft: Draft, done: () => void): Promise<void> => {
    setBusy(true)
    setError(null)
    try {
      onBoard(await client.boards.save(over, draft))
      setConflict(null)
      done()
    } catch (caught) {
      if (isTidemarkClientError(caught) && caught.code === 'TM_VERSION') await lookAgain()
      else setError(caught)
    } finally {
      setBusy(false)
    }
  }
  const lookAgain = async (): Promise<void> => {
    try {
      const theirs = await client.boards.get(board.id)
      onBoard(theirs)
      if (editing) setConflict(theirs)
      else toast({ kind: 'warn', text: 'Somebody changed the board a moment ago. This is how it is now.' })
    } catch (caught) {
      setError(caught)
    }
  }
  const saved = (text: string): void => {
    forgetDraft(board.id)
    onDone()
    toast({ kind: 'ok', text })
  }
  const putAway = (base: Board, draft: Draft): void => {
    forgetDraft(base.id)
    look()
    onDone()
    toast({
      kind: 'ok',
      text: 'Your changes were discarded',
      action: {
        label: 'Undo',
        run: () => {
          keepDraft(base, draft)
          look()
        },
      },
    })
  }
  const saving: Saving = {
    busy,
    conflict,
    error,
    kept,
    save: async () => {
      if (!editing || busy) return
      if (!editing.isChanged) onDone()
      else await put(editing.base, editing.draft, () => saved('The board was saved'))
    },
    saveMerged: async (both) => {
      if (!editing || !conflict) return
      // also when this fails: the merged draft goes on from their version, and undo leads back to one's own
      editing.rebase(conflict, `merged with the changes of ${conflict.updatedBy}`, both)
      await put(conflict, both, () => saved('Both were saved together'))
    },
    saveCopy: async () => {
      if (!editing) return
      setBusy(true)
      try {
        await acts.create({ ...editing.draft, name: copyName(editing.draft.name) })
        forgetDraft(board.id)
      } catch (caught) {
        setConflict(null)
        setError(caught)
      } finally {
        setBusy(false)
      }
    },
    saveNow: (draft) => put(board, draft, () => toast({ kind: 'ok', text: 'The board was renamed' })),
    compare: setConflict,
    closeConflict: () => setConflict(null),
    discard: () => {
      setError(null)
      if (!editing) return
      if (editing.isChanged) putAway(editing.base, editing.draft)
      else onDone()
    },
    drop: () => {
      const draft = keptDraft(board.id)
      if (draft) putAway(draft.base, draft.draft)
    },
  }

  const isEditing = editing !== null
  useEffect(() => {
    if (isEditing) return
    setConflict(null)
    setError(null)
  }, [isEditing])
  const pressed = useEffectEvent((event: KeyboardEvent) => {
    if (!editing || !(event.ctrlKey || event.metaKey) || event.altKey) return
    if (event.key.toLowerCase() === 's') {
      event.preventDefault()
      if (document.querySelector('dialog[open]') === null) void saving.save()
    }
  })
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => pressed(event)
    addEventListener('keydown', listen)
    return () => removeEventListener('keydown', listen)
  }, [])
  // a tab that is closed takes its draft with it
  const isDirty = editing?.isChanged === true
  useEffect(() => {
    if (!isDirty) return
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault()
    addEventListener('beforeunload', ask)
    return () => removeEventListener('beforeunload', ask)
  }, [isDirty])
  return saving
}
