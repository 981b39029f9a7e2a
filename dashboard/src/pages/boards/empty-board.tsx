import type { ReactNode } from 'react'
import type { Board } from 'tidemark/client'
import { Button, Empty } from '../../ui/index.ts'

/** A board without panels teaches how the first one comes. */
export function EmptyBoard({
  board,
  isEditing,
  isFile,
  onEdit,
  onAdd,
}: {
  readonly board: Board
  readonly isEditing: boolean
  readonly isFile: boolean
  readonly onEdit: () => void
  readonly onAdd: () => void
}): ReactNode {
  if (isFile) {
    return (
      <Empty title="There is nothing on this board">
        <p>
          Write its panels into <code>{board.updatedBy}</code>: export any other board to see what they look
          like.
        </p>
      </Empty>
    )
  }
  return (
    <Empty
      title="There is nothing on this board yet"
      action={
        isEditing ? (
          <Button kind="primary" icon="plus" onClick={onAdd}>
            Add a panel
          </Button>
        ) : (
          <Button kind="primary" icon="edit" onClick={onEdit}>
            Edit this board
          </Button>
        )
      }
    >
      <p>
        A panel is a question with a chart. Take one that is made for a dataset, or ask your own in Explore
        and put it here from there. All panels follow the range of the board.
      </p>
    </Empty>
  )
}
