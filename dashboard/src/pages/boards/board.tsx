import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useCallback } from 'react'
import { Link, useParams } from 'react-router'
import { type Board, isTidemarkClientError } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { Empty, PageHeader, Query } from '../../ui/index.ts'
import { BoardSkeleton } from './board-skeleton.tsx'
import { BoardView } from './board-view.tsx'

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
  if (isTidemarkClientError(board.error) && board.error.code === 'TM_UNKNOWN_BOARD') {
    return (
      <>
        <PageHeader title="Board" />
        <Empty title="There is no such board">
          <p>
            It was removed, or it belongs to another tenant. <Link to="/boards">All boards of yours</Link>
          </p>
        </Empty>
      </>
    )
  }
  return (
    <Query result={board} skeleton={<BoardSkeleton />}>
      {(loaded) => <BoardView key={loaded.id} board={loaded} onBoard={setBoard} />}
    </Query>
  )
}
