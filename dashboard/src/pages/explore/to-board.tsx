import { useMutation, useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { useNavigate } from 'react-router'
import type { Panel } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import type { PanelContent } from '../../chart/index.ts'
import { Button, Dialog, ErrorBox, Query, Select, Skeleton, TextField } from '../../ui/index.ts'
import { handOver } from '../boards/handover.ts'
import styles from './explore.module.css'
import type { ExploreState } from './state.ts'

export interface ToBoardProps {
  readonly state: ExploreState
  readonly panel: PanelContent
  readonly isDisabled: boolean
}

const newBoard = ''

/** Letters and digits: one of its kind on any board. */
function freshId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) =>
    byte.toString(36).padStart(2, '0'),
  ).join('')
}

function panelFor(panel: PanelContent, title: string, id: string): Panel {
  const isWide = panel.chart !== 'number'
  return { ...panel, title, id, place: { x: 0, y: 0, w: isWide ? 6 : 3, h: isWide ? 4 : 2 } }
}

/** Puts what is shown on a board: that it came from, another, or a new one. */
export function ToBoard({ state, panel, isDisabled }: ToBoardProps): ReactNode {
  const navigate = useNavigate()
  const [isOpen, setIsOpen] = useState(false)
  const { board } = state
  if (board !== null)
    return (
      <Button
        kind="primary"
        aria-disabled={isDisabled}
        onClick={() => {
          if (!isDisabled)
            void navigate(handOver(board, panelFor(panel, panel.title, state.panel ?? freshId())))
        }}
      >
        {state.title === null ? 'Put on the board' : 'Put back on the board'}
      </Button>
    )
  return (
    <>
      <Button kind="primary" aria-disabled={isDisabled} onClick={() => !isDisabled && setIsOpen(true)}>
        Add to a board
      </Button>
      {isOpen && <BoardDialog panel={panel} state={state} onClose={() => setIsOpen(false)} />}
    </>
  )
}

function BoardDialog({
  panel,
  state,
  onClose,
}: {
  readonly panel: PanelContent
  readonly state: ExploreState
  onClose(): void
}): ReactNode {
  const client = useClient()
  const navigate = useNavigate()
  const boards = useQuery({ queryKey: ['boards'], queryFn: ({ signal }) => client.boards.list({ signal }) })
  const [title, setTitle] = useState(panel.title)
  const [chosen, setChosen] = useState(newBoard)
  const [name, setName] = useState('')
  const create = useMutation({
    mutationFn: () =>
      client.boards.create({
        name: name.trim(),
        document: {
          range: { from: state.from ?? '-1 year', ...(state.to === null ? {} : { to: state.to }) },
          refresh: state.isLive ? 'live' : 'off',
          panels: [panelFor(panel, title.trim(), freshId())],
        },
      }),
    onSuccess: ({ id }) => void navigate(`/boards/${encodeURIComponent(id)}`),
  })
  const problem =
    title.trim() === ''
      ? 'Give it a title'
      : chosen === newBoard && name.trim() === ''
        ? 'Give the board a name'
        : null
  const put = (): void => {
    if (problem !== null || create.isPending) return
    if (chosen === newBoard) create.mutate()
    else void navigate(handOver(chosen, panelFor(panel, title.trim(), freshId())))
  }
  return (
    <Dialog
      title="Add to a board"
      isOpen
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" busy={create.isPending} aria-disabled={problem !== null} onClick={put}>
            {chosen === newBoard ? 'Make the board' : 'Add'}
          </Button>
        </>
      }
    >
      <form
        className={styles['form']}
        onSubmit={(event) => {
          event.preventDefault()
          put()
        }}
      >
        <TextField label="Title of the panel" value={title} onChange={setTitle} />
        <Query result={boards} skeleton={<Skeleton height={56} />}>
          {(all) => (
            <Select
              label="Board"
              value={chosen}
              options={[
                { value: newBoard, label: 'A new board' },
                ...all
                  .filter(({ source }) => source === 'stored')
                  .map((board) => ({ value: board.id, label: board.name })),
              ]}
              onChange={setChosen}
            />
          )}
        </Query>
        {chosen === newBoard && <TextField label="Name of the board" value={name} onChange={setName} />}
        {create.isError && <ErrorBox error={create.error} />}
        <button type="submit" hidden aria-hidden="true" tabIndex={-1} />
      </form>
    </Dialog>
  )
}
