import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useRef, useState } from 'react'
import type { IssuedShare, Share } from 'tidemark/client'
import { useClient, useMe } from '../../api/index.ts'
import {
  Badge,
  Button,
  type Column,
  CopyButton,
  Dialog,
  ErrorBox,
  Query,
  Select,
  Skeleton,
  Table,
  Time,
} from '../../ui/index.ts'
import styles from './board.module.css'
import { whoText } from './who.ts'

const lengths = [
  { value: '1 day', label: '1 day' },
  { value: '7 days', label: '7 days' },
  { value: '30 days', label: '30 days' },
  { value: '90 days', label: '90 days' },
  { value: '365 days', label: '1 year' },
] as const
type Length = (typeof lengths)[number]['value']

/** Links to a board, for people without a key: a new one, and those that there are. */
export function ShareDialog({
  board,
  hasDraft,
  onClose,
}: {
  readonly board: { readonly id: string; readonly name: string }
  /** What is shared is what was saved. */
  readonly hasDraft: boolean
  readonly onClose: () => void
}): ReactNode {
  const client = useClient()
  const me = useMe()
  const queries = useQueryClient()
  const key = ['boards', board.id, 'shares']
  const shares = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => client.boards.shares(board.id, { signal }),
  })
  const [expires, setExpires] = useState<Length>('7 days')
  const changed = (): Promise<void> => queries.invalidateQueries({ queryKey: key })
  const issue = useMutation({
    mutationFn: () => client.boards.share(board.id, { expires }),
    onSuccess: changed,
  })
  const revoke = useMutation({
    mutationFn: (share: string) => client.boards.unshare(board.id, share),
    onSuccess: changed,
  })
  const columns: readonly Column<Share>[] = [
    {
      id: 'made',
      title: 'Made',
      cell: ({ createdAt, createdBy }) => (
        <>
          <Time value={createdAt} ago /> <span className={styles['quiet']}>by {whoText(createdBy, me)}</span>
        </>
      ),
    },
    { id: 'ends', title: 'Ends', cell: ({ expiresAt }) => <Time value={expiresAt} ago /> },
    {
      id: 'opened',
      title: 'Opened',
      cell: ({ lastOpenedAt }) =>
        lastOpenedAt === null ? (
          <span className={styles['quiet']}>never</span>
        ) : (
          <Time value={lastOpenedAt} ago />
        ),
    },
    {
      id: 'state',
      title: 'State',
      align: 'right',
      cell: ({ id, ended, createdAt }) =>
        ended === null ? (
          <Button
            small
            kind="danger"
            busy={revoke.isPending && revoke.variables === id}
            aria-label={`Revoke the link made ${createdAt}`}
            onClick={() => revoke.mutate(id)}
          >
            Revoke
          </Button>
        ) : (
          <Badge kind="quiet">{ended}</Badge>
        ),
    },
  ]
  return (
    <Dialog title={`Share “${board.name}”`} isOpen wide onClose={onClose}>
      <div className={styles['stack']}>
        <p>
          Whoever has the link sees this board, and nothing else, without signing in: its range, its panels,
          read-only. What they see is asked in your name, so a link ends with your key.
        </p>
        {hasDraft && <p className={styles['quiet']}>Your changes are seen there once you save them.</p>}
        <form
          className={styles['row']}
          onSubmit={(event) => {
            event.preventDefault()
            issue.mutate()
          }}
        >
          <Select<Length>
            label="The link is good for"
            value={expires}
            options={lengths}
            onChange={setExpires}
          />
          <Button kind="primary" type="submit" icon="share" busy={issue.isPending}>
            Make a link
          </Button>
        </form>
        {issue.isError && <ErrorBox error={issue.error} />}
        {issue.data && <NewLink share={issue.data} />}
        {revoke.isError && <ErrorBox error={revoke.error} />}
        <Query result={shares} skeleton={<Skeleton height={60} />}>
          {(all) =>
            all.length === 0 ? (
              <p className={styles['quiet']}>There is no link to this board yet.</p>
            ) : (
              <Table caption="Links to this board" columns={columns} rows={all} keyOf={({ id }) => id} />
            )
          }
        </Query>
      </div>
    </Dialog>
  )
}

/** Shown this once: nobody can read it again, also not from the database. */
function NewLink({ share }: { readonly share: IssuedShare }): ReactNode {
  const url = `${location.origin}${share.path}`
  const field = useRef<HTMLInputElement>(null)
  return (
    <div className={styles['link']} role="status">
      <label htmlFor={`link-${share.id}`}>
        The link, good until <Time value={share.expiresAt} precision="minute" />. It is shown this once.
      </label>
      <div className={styles['row']}>
        <input
          ref={field}
          id={`link-${share.id}`}
          readOnly
          value={url}
          onFocus={() => field.current?.select()}
        />
        <CopyButton text={url} label="Copy link" small={false} />
      </div>
    </div>
  )
}
