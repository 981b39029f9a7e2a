import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useCallback } from 'react'
import { Link, useParams } from 'react-router'
import { type Board, isTidemarkClientError } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { Button, Empty, ErrorBox, PageHeader, Query } from '../../ui/index.ts'
import { BoardSkeleton } from './board-skeleton.tsx'
import { BoardView } from './board-view.tsx'
import type { Draft } from './document.ts'
import { useBoardActs } from './use-board-acts.ts'
import { forgetDraft, keptDraft } from './use-editing.ts'

/** How soon a change by somebody else is seen by whoever has the board open. */
const lookEveryMs = 15_000

/** One board. */
export function Page(): ReactNode {
  const { id = '' } = useParams()
  const client = useClient()
  const queries = useQueryClient()
  const board = useQuery({
    queryKey: ['boards', id],
    queryFn: ({ signal }) => client.boards.get(id, { signal }),
    refetchInterval: lookEveryMs,
    // an unchanged board keeps its panels as they are, so that nothing is asked again
    structuralSharing: true,
  })
  const setBoard = useCallback(
    (saved: Board) => {
      queries.setQueryData(['boards', id], saved)
      void queries.invalidateQueries({ queryKey: ['boards'], exact: true })
    },
    [queries, id],
  )
  if (isTidemarkClientError(board.error) && board.error.code === 'TM_UNKNOWN_BOARD') return <Gone id={id} />
  return (
    <Query result={board} skeleton={<BoardSkeleton />}>
      {(loaded) => <BoardView key={loaded.id} board={loaded} onBoard={setBoard} />}
    </Query>
  )
}

/** It was removed, perhaps while it was being edited: the draft is not. */
function Gone({ id }: { readonly id: string }): ReactNode {
  const acts = useBoardActs()
  const kept = keptDraft(id)
  const save = useMutation({
    mutationFn: async (draft: Draft) => {
      await acts.create(draft)
      forgetDraft(id)
    },
  })
  return (
    <>
      <PageHeader title="Board" />
      <Empty
        title="There is no such board"
        action={
          kept && (
            <Button kind="primary" busy={save.isPending} onClick={() => save.mutate(kept.draft)}>
              Save “{kept.draft.name}” as a new board
            </Button>
          )
        }
      >
        <p>
          It was removed, or it belongs to another tenant. <Link to="/boards">All boards of yours</Link>
        </p>
        {kept && <p>What you had changed of it and not saved is still here.</p>}
      </Empty>
      {save.isError && <ErrorBox error={save.error} />}
    </>
  )
}
