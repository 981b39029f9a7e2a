import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import type { ApiKeyEntry, IssuedApiKey } from 'tidemark/client'
import { useClient, useMe } from '../../api/index.ts'
import { useCommands, useNow, useToast } from '../../shell/index.ts'
import {
  Badge,
  Button,
  Checkbox,
  type Column,
  Confirm,
  Empty,
  Menu,
  PageHeader,
  Query,
  Skeleton,
  Table,
  Time,
} from '../../ui/index.ts'
import { Gate, useSearchState } from '../operate/index.ts'
import { statusOf } from './key-status.ts'
import styles from './keys.module.css'
import { NewKey } from './new-key.tsx'
import { Rotate } from './rotate.tsx'
import { Secret } from './secret.tsx'

/** API keys: who may come in, since when, until when, and when each was used last. */
export function Page(): ReactNode {
  return (
    <Gate title="Keys" what="Keys are">
      <Keys />
    </Gate>
  )
}

type Open =
  | { readonly kind: 'new' }
  | { readonly kind: 'secret'; readonly issued: IssuedApiKey }
  | { readonly kind: 'rotate' | 'revoke'; readonly key: ApiKeyEntry }

function Keys(): ReactNode {
  const client = useClient()
  const me = useMe()
  const queries = useQueryClient()
  const toast = useToast()
  const [{ revoked }, setSearch] = useSearchState(['revoked'])
  const [open, setOpen] = useState<Open | null>(null)
  const all = revoked === '1'
  const keys = useQuery({
    queryKey: ['keys', all],
    queryFn: ({ signal }) => client.access.keys({ all, signal }),
    refetchInterval: 30_000,
  })
  const changed = (): void => {
    void queries.invalidateQueries({ queryKey: ['keys'] })
    void queries.invalidateQueries({ queryKey: ['audit'] })
  }
  const tell = (issued: IssuedApiKey): void => {
    setOpen({ kind: 'secret', issued })
    changed()
  }
  const revoke = useMutation({
    mutationFn: (id: string) => client.access.revokeKey(id),
    onSuccess: ({ name }) => toast({ kind: 'ok', text: `${name} is revoked: it opens nothing any more.` }),
    onError: (error) => toast({ kind: 'error', text: error.message }),
    onSettled: () => {
      setOpen(null)
      changed()
    },
  })
  useCommands([
    { id: 'keys.new', title: 'New key', keys: 'n', run: () => setOpen({ kind: 'new' }) },
    {
      id: 'keys.revoked',
      title: all ? 'Hide revoked keys' : 'Show revoked keys',
      run: () => setSearch({ revoked: all ? '' : '1' }),
    },
  ])
  return (
    <>
      <PageHeader
        title="Keys"
        subtitle={
          me.allTenants ? 'Of every tenant. Secrets are shown once, when they are made.' : `Of ${me.tenant}.`
        }
        actions={
          <Button kind="primary" onClick={() => setOpen({ kind: 'new' })}>
            New key
          </Button>
        }
      />
      {me.kind === 'anonymous' && (
        <p className={styles['note']}>
          This server asks nobody who he is, so keys count for nothing yet: declare <code>server.auth</code>{' '}
          in the configuration.
        </p>
      )}
      <div className={styles['bar']}>
        <Checkbox
          label="Show revoked keys"
          checked={all}
          onChange={(checked) => setSearch({ revoked: checked ? '1' : '' })}
        />
      </div>
      <Query result={keys} skeleton={<Skeleton height={280} />}>
        {(data) => (
          <KeyTable
            keys={data}
            own={me.id}
            showsTenants={me.allTenants}
            onRotate={(key) => setOpen({ kind: 'rotate', key })}
            onRevoke={(key) => setOpen({ kind: 'revoke', key })}
          />
        )}
      </Query>
      {open?.kind === 'new' && <NewKey onMade={tell} onClose={() => setOpen(null)} />}
      {open?.kind === 'rotate' && <Rotate of={open.key} onMade={tell} onClose={() => setOpen(null)} />}
      {open?.kind === 'secret' && <Secret issued={open.issued} onClose={() => setOpen(null)} />}
      {open?.kind === 'revoke' && (
        <Confirm
          title={`Revoke ${open.key.name}?`}
          isOpen
          kind="danger"
          confirmLabel="Revoke the key"
          onClose={() => setOpen(null)}
          onConfirm={() => revoke.mutate(open.key.id)}
        >
          <p>
            Whatever uses it is refused from then on, and what it has open is cut within seconds. It cannot be
            taken back.
          </p>
          <p>
            {open.key.lastUsedAt === null ? (
              'It was never used.'
            ) : (
              <>
                It was used <Time value={open.key.lastUsedAt} ago />.
              </>
            )}
          </p>
          {open.key.id === me.id && (
            <p className={styles['warning']}>
              It is the key that you are signed in with: you are signed out, too.
            </p>
          )}
        </Confirm>
      )}
    </>
  )
}

function KeyTable({
  keys,
  own,
  showsTenants,
  onRotate,
  onRevoke,
}: {
  readonly keys: readonly ApiKeyEntry[]
  readonly own: string
  readonly showsTenants: boolean
  onRotate(key: ApiKeyEntry): void
  onRevoke(key: ApiKeyEntry): void
}): ReactNode {
  const { tenant } = useMe()
  const ofTenant = tenant === null ? '--all-tenants' : `--tenant ${tenant}`
  const now = useNow(30_000)
  const columns: Column<ApiKeyEntry>[] = [
    {
      id: 'name',
      title: 'Name',
      sortBy: ({ name }) => name.toLowerCase(),
      cell: (key) => (
        <span className={styles['name']}>
          <span>
            {key.name} {key.id === own && <Badge kind="info">you</Badge>}
          </span>
          <code>{key.id}</code>
        </span>
      ),
    },
    {
      id: 'status',
      title: 'State',
      sortBy: (key) => statusOf(key, now).label,
      cell: (key) => {
        const { kind, label } = statusOf(key, now)
        return <Badge kind={kind}>{label}</Badge>
      },
    },
    {
      id: 'scopes',
      title: 'May',
      cell: ({ scopes }) => <span className={styles['scopes']}>{scopes.join(', ')}</span>,
    },
    ...(showsTenants
      ? [
          {
            id: 'tenant',
            title: 'Whose rows',
            sortBy: ({ tenant }: ApiKeyEntry) => tenant ?? '',
            cell: ({ tenant, allTenants }: ApiKeyEntry) => (allTenants ? 'every tenant' : tenant),
          },
        ]
      : []),
    {
      id: 'datasets',
      title: 'Datasets',
      cell: ({ datasets }) =>
        datasets === null ? (
          'every one'
        ) : (
          <span title={datasets.join(', ')}>
            {datasets.slice(0, 2).join(', ')}
            {datasets.length > 2 && ` and ${datasets.length - 2} more`}
          </span>
        ),
    },
    {
      id: 'used',
      title: 'Last used',
      sortBy: ({ lastUsedAt }) => lastUsedAt,
      cell: ({ lastUsedAt }) => (lastUsedAt === null ? 'never' : <Time value={lastUsedAt} ago />),
    },
    {
      id: 'expires',
      title: 'Expires',
      sortBy: ({ expiresAt }) => expiresAt,
      cell: ({ expiresAt }) => (expiresAt === null ? 'never' : <Time value={expiresAt} ago />),
    },
    {
      id: 'made',
      title: 'Made',
      sortBy: ({ createdAt }) => createdAt,
      cell: ({ createdAt }) => <Time value={createdAt} precision="day" />,
    },
    {
      id: 'acts',
      title: 'Acts',
      align: 'right',
      cell: (key) =>
        key.revokedAt === null && (
          <Menu
            label={`Acts on ${key.name}`}
            icon="more"
            kind="quiet"
            small
            items={[
              { label: 'Rotate…', run: () => onRotate(key), disabled: !statusOf(key, now).isGood },
              { label: 'Revoke…', danger: true, run: () => onRevoke(key) },
            ]}
          />
        ),
    },
  ]
  return (
    <Table
      caption="API keys"
      columns={columns}
      rows={keys}
      keyOf={({ id }) => id}
      empty={
        <Empty
          title="No key yet"
          command={`tidemark keys create collector --scope ingest ${ofTenant} --expires '90 days'`}
        >
          Make one with New key (n), or at the server’s shell. Give each program its own: then one can be
          taken away without the others.
        </Empty>
      }
    />
  )
}
