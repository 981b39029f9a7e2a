import { useInfiniteQuery } from '@tanstack/react-query'
import { type ReactNode, useEffect, useState } from 'react'
import type { AuditLogEntry } from 'tidemark/client'
import { useClient, useMe } from '../../api/index.ts'
import { useCommands } from '../../shell/index.ts'
import {
  Badge,
  Button,
  Code,
  type Column,
  Empty,
  PageHeader,
  Query,
  Select,
  Skeleton,
  Table,
  TextField,
  Time,
} from '../../ui/index.ts'
import { Facts, Gate, Split, useSearchState, useSettled } from '../operate/index.ts'
import styles from './audit.module.css'

/** Acts that have a name; of others the log has method and path. */
const namedActs = ['key.create', 'key.rotate', 'key.revoke']
const pageSize = 100

const outcomes = { done: 'ok', refused: 'warn', failed: 'error' } as const
const isOutcome = (text: string): text is AuditLogEntry['outcome'] => Object.hasOwn(outcomes, text)

/** What administrators did: by whom, to what, from where, and what came of it. */
export function Page(): ReactNode {
  return (
    <Gate title="Audit" what="The audit log is">
      <Audit />
    </Gate>
  )
}

function Audit(): ReactNode {
  const client = useClient()
  const me = useMe()
  const [search, setSearch] = useSearchState(['act', 'actor', 'subject', 'outcome', 'entry'])
  const { act, outcome, entry: chosen } = search
  const [actor, setActor] = useTyped(search.actor, (actor) => setSearch({ actor }))
  const [subject, setSubject] = useTyped(search.subject, (subject) => setSearch({ subject }))
  const asked = {
    ...(act === '' ? {} : { act }),
    ...(search.actor === '' ? {} : { actor: search.actor }),
    ...(search.subject === '' ? {} : { subject: search.subject }),
    ...(isOutcome(outcome) ? { outcome } : {}),
  }
  const log = useInfiniteQuery({
    queryKey: ['audit', asked],
    queryFn: ({ pageParam, signal }) =>
      client.access.audit({
        ...asked,
        limit: pageSize,
        ...(pageParam === null ? {} : { before: pageParam }),
        signal,
      }),
    initialPageParam: null as string | null,
    getNextPageParam: ({ next }) => next,
  })
  const entries = log.data?.pages.flatMap((page) => page.entries) ?? []
  const isFiltered = Object.keys(asked).length > 0
  const entry = entries.find(({ id }) => id === chosen) ?? null
  const acts = [
    ...new Set([...namedActs, ...(act === '' ? [] : [act]), ...entries.map((each) => each.act)]),
  ].sort()
  const clear = (): void => {
    setActor('')
    setSubject('')
    setSearch({ act: '', actor: '', subject: '', outcome: '', entry: '' })
  }
  useCommands([
    { id: 'audit.refresh', title: 'Read the log again', keys: 'r', run: () => void log.refetch() },
    {
      id: 'audit.refused',
      title: 'Show what was refused',
      run: () => setSearch({ outcome: 'refused', entry: '' }),
    },
  ])
  return (
    <>
      <PageHeader
        title="Audit"
        subtitle={
          me.allTenants
            ? 'What administrators did, over HTTP and at a shell. Nobody can change it.'
            : `What administrators of ${me.tenant} did. Nobody can change it.`
        }
        actions={
          <Button busy={log.isRefetching} onClick={() => void log.refetch()}>
            Refresh
          </Button>
        }
      />
      <search className={styles['filters']} aria-label="Filter the log">
        <Select
          label="Act"
          value={act}
          options={[{ value: '', label: 'Every act' }, ...acts.map((value) => ({ value, label: value }))]}
          onChange={(value) => setSearch({ act: value, entry: '' })}
        />
        <Select
          label="Outcome"
          value={outcome}
          options={[
            { value: '', label: 'Every outcome' },
            ...Object.keys(outcomes).map((value) => ({ value, label: value })),
          ]}
          onChange={(value) => setSearch({ outcome: value, entry: '' })}
        />
        <TextField label="By" value={actor} onChange={setActor} placeholder="id of a key, subject, user" />
        <TextField label="To" value={subject} onChange={setSubject} placeholder="id of what it was done to" />
        {isFiltered && <Button onClick={clear}>Clear</Button>}
      </search>
      <Split
        title={entry === null ? '' : entry.act}
        choice={chosen}
        onClose={() => setSearch({ entry: '' })}
        detail={entry && <Entry entry={entry} onFilter={(change) => setSearch({ ...change, entry: '' })} />}
      >
        <Query result={log} skeleton={<Skeleton height={420} />}>
          {() => (
            <>
              <Table
                caption="Audit log, the newest first"
                columns={entry === null ? columns : columns.filter(({ id }) => besideDetail.has(id))}
                rows={entries}
                keyOf={({ id }) => id}
                onRow={({ id }) => setSearch({ entry: id }, { push: true })}
                isSelected={({ id }) => id === chosen}
                empty={
                  isFiltered ? (
                    <Empty
                      title="Nothing of that kind was done"
                      action={<Button onClick={clear}>Show everything</Button>}
                    />
                  ) : (
                    <Empty title="Nothing was done yet" command="tidemark audit">
                      Whatever administrators change is written down here: keys that are made or revoked,
                      operations, replays of dead letters.
                    </Empty>
                  )
                }
              />
              <p className={styles['more']} role="status">
                {entries.length > 0 && (
                  <span>{`${entries.length} shown${log.hasNextPage ? '' : ', and that is all'}`}</span>
                )}
                {log.hasNextPage && (
                  <Button busy={log.isFetchingNextPage} onClick={() => void log.fetchNextPage()}>
                    Load older
                  </Button>
                )}
              </p>
            </>
          )}
        </Query>
      </Split>
    </>
  )
}

/** A field that is in the URL once it has been left alone for a moment. */
function useTyped(inUrl: string, write: (text: string) => void): [string, (text: string) => void] {
  const [text, setText] = useState(inUrl)
  const settled = useSettled(text.trim())
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what was typed is written
  useEffect(() => {
    if (settled !== inUrl) write(settled)
  }, [settled])
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what comes from the URL is read
  useEffect(() => {
    if (inUrl !== text.trim()) setText(inUrl)
  }, [inUrl])
  return [text, setText]
}

/** What there is room for beside one that is chosen, which says the rest. */
const besideDetail = new Set(['at', 'act', 'outcome', 'actor'])

const columns: readonly Column<AuditLogEntry>[] = [
  { id: 'at', title: 'When', cell: ({ at }) => <Time value={at} precision="second" /> },
  { id: 'act', title: 'Act', cell: ({ act }) => <code className={styles['act']}>{act}</code> },
  { id: 'subject', title: 'To', cell: ({ subject }) => subject ?? '' },
  {
    id: 'outcome',
    title: 'Outcome',
    cell: ({ outcome }) => <Badge kind={outcomes[outcome]}>{outcome}</Badge>,
  },
  { id: 'actor', title: 'By', cell: ({ actorKind, actor }) => `${actorKind} ${actor}` },
  { id: 'tenant', title: 'Of', cell: ({ tenant }) => tenant ?? 'every tenant' },
  { id: 'address', title: 'From', cell: ({ address }) => address ?? '' },
]

function Entry({
  entry,
  onFilter,
}: {
  readonly entry: AuditLogEntry
  onFilter(change: { readonly actor?: string; readonly subject?: string }): void
}): ReactNode {
  return (
    <>
      <Facts
        of={[
          ['When', <Time key="at" value={entry.at} precision="second" />],
          [
            'Outcome',
            <Badge key="outcome" kind={outcomes[entry.outcome]}>
              {entry.outcome}
            </Badge>,
          ],
          ['By', `${entry.actorKind} ${entry.actor}`],
          ['Of', entry.tenant ?? 'every tenant'],
          ['To', entry.subject],
          ['From', entry.address],
          ['Request, also in the server’s log', entry.requestId && <code key="id">{entry.requestId}</code>],
        ]}
      />
      {entry.detail !== null && <Code label="Details" copy text={JSON.stringify(entry.detail, null, 2)} />}
      <div className={styles['acts']}>
        <Button small onClick={() => onFilter({ actor: entry.actor })}>
          All by {entry.actor}
        </Button>
        {entry.subject !== null && (
          <Button small onClick={() => onFilter({ subject: entry.subject ?? '' })}>
            All that was done to it
          </Button>
        )}
      </div>
    </>
  )
}
