import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link, useNavigate } from 'react-router'
import type { BoardSummary } from 'tidemark/client'
import { useClient, useMe } from '../../api/index.ts'
import { useCommands } from '../../shell/index.ts'
import {
  Badge,
  Button,
  type Column,
  Confirm,
  Empty,
  Menu,
  PageHeader,
  Query,
  Skeleton,
  Table,
  TextField,
  Time,
} from '../../ui/index.ts'
import styles from './list.module.css'
import { NewBoard } from './new-board.tsx'
import { useBoardActs } from './use-board-acts.ts'
import { whoText } from './who.ts'

/** A list that is longer can be searched. */
const fewBoards = 7

/** All boards of the tenant, and those of files. */
export function Page(): ReactNode {
  const client = useClient()
  const me = useMe()
  const navigate = useNavigate()
  const boards = useQuery({
    queryKey: ['boards'],
    queryFn: ({ signal }) => client.boards.list({ signal }),
  })
  const [isNew, setNew] = useState<'blank' | 'import' | null>(null)
  const [doomed, setDoomed] = useState<BoardSummary | null>(null)
  const [text, setText] = useState('')
  const acts = useBoardActs()
  useCommands([
    { id: 'boards.new', title: 'New board', keys: 'n', run: () => setNew('blank') },
    { id: 'boards.import', title: 'Import a board', run: () => setNew('import') },
    ...(boards.data ?? []).slice(0, 100).map(({ id, name }) => ({
      id: `boards.open.${id}`,
      title: `Open ${name}`,
      group: 'Boards',
      run: () => void navigate(`/boards/${encodeURIComponent(id)}`),
    })),
  ])

  const columns: readonly Column<BoardSummary>[] = [
    {
      id: 'name',
      title: 'Board',
      cell: ({ id, name, description, source }) => (
        <div className={styles['name']}>
          <Link to={`/boards/${encodeURIComponent(id)}`}>{name}</Link>
          {source === 'file' && <Badge kind="quiet">file</Badge>}
          {description && <p>{description}</p>}
        </div>
      ),
      sortBy: ({ name }) => name.toLowerCase(),
    },
    {
      id: 'panels',
      title: 'Panels',
      align: 'right',
      cell: ({ panels }) => panels,
      sortBy: ({ panels }) => panels,
      width: '6rem',
    },
    {
      id: 'updated',
      title: 'Changed',
      cell: ({ updatedAt, updatedBy, source }) => (
        <span className={styles['quiet']}>
          <Time value={updatedAt} ago />{' '}
          {source === 'file' ? `in ${updatedBy}` : `by ${whoText(updatedBy, me)}`}
        </span>
      ),
      sortBy: ({ updatedAt }) => updatedAt,
      width: '22rem',
    },
    {
      id: 'acts',
      title: 'Actions',
      align: 'right',
      width: '6rem',
      cell: (board) => (
        <Menu
          label={`Do something with ${board.name}`}
          icon="more"
          kind="quiet"
          items={[
            {
              label: board.source === 'file' ? 'Save a copy' : 'Duplicate',
              run: () => void acts.duplicate(board.id),
            },
            { label: 'Export as JSON', run: () => void acts.download(board.id) },
            ...(board.source === 'file'
              ? []
              : [{ label: 'Remove…', danger: true, run: () => setDoomed(board) }]),
          ]}
        />
      ),
    },
  ]
  const wanted = text.trim().toLowerCase()
  const matches = ({ name, description }: BoardSummary): boolean =>
    `${name} ${description ?? ''}`.toLowerCase().includes(wanted)

  return (
    <>
      <PageHeader
        title="Boards"
        subtitle="Charts that belong together, over one range"
        actions={
          <>
            <Button onClick={() => setNew('import')}>Import</Button>
            <Button kind="primary" icon="plus" onClick={() => setNew('blank')}>
              New board
            </Button>
          </>
        }
      />
      <Query result={boards} skeleton={<Skeleton height={240} />}>
        {(all) =>
          all.length === 0 ? (
            <Empty
              title="No board yet"
              action={
                <Button kind="primary" icon="plus" onClick={() => setNew('blank')}>
                  Make the first one
                </Button>
              }
            >
              <p>
                A board shows several charts over one range, up to date as rows come in. Start from a dataset
                and you have one in two clicks; or ask something in <Link to="/explore">Explore</Link> and add
                it to a board from there.
              </p>
              <p>
                For boards that are reviewed like code, put them into files and name these in the
                configuration: <code>{"boards: ['boards/*.json']"}</code>
              </p>
            </Empty>
          ) : (
            <>
              {all.length > fewBoards && (
                <div className={styles['search']}>
                  <TextField
                    label="Search boards"
                    hideLabel
                    type="search"
                    placeholder="Search by name or description"
                    value={text}
                    onChange={setText}
                  />
                </div>
              )}
              <Table
                caption="Boards"
                columns={columns}
                rows={all.filter(matches)}
                keyOf={({ id }) => id}
                empty={<p>No board has “{text}” in its name or description.</p>}
              />
            </>
          )
        }
      </Query>
      {isNew && <NewBoard isImport={isNew === 'import'} onClose={() => setNew(null)} />}
      <Confirm
        title={`Remove “${doomed?.name ?? ''}”?`}
        isOpen={doomed !== null}
        kind="danger"
        confirmLabel="Remove board"
        onClose={() => setDoomed(null)}
        onConfirm={() => {
          if (doomed) void acts.remove(doomed)
          setDoomed(null)
        }}
      >
        <p>
          It goes for everybody of your tenant, and links to it end. It can be brought back for a few seconds
          afterwards, without its links.
        </p>
      </Confirm>
    </>
  )
}
