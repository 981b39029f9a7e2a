import { type ReactNode, useEffect, useState } from 'react'
import type { DeadLetter, DeadLetterFilter } from 'tidemark/client'
import { useMe } from '../../api/index.ts'
import { useCommands } from '../../shell/index.ts'
import {
  Badge,
  Button,
  Checkbox,
  type Column,
  Empty,
  PageHeader,
  Query,
  Skeleton,
  Table,
  Time,
} from '../../ui/index.ts'
import { Split, useSearchState } from '../operate/index.ts'
import { Bulk, type Chosen, type ConflictRule } from './bulk.tsx'
import styles from './dead-letters.module.css'
import { Detail } from './detail.tsx'
import { Filters } from './filters.tsx'
import { Outcome } from './outcome.tsx'
import { isAboutGone, useActs, useLetters } from './use-letters.ts'
import { countOf, filterWords, lettersOf, stateOf } from './words.ts'

export function DeadLetters(): ReactNode {
  const me = useMe()
  const [search, setSearch] = useSearchState(['dataset', 'reason', 'column', 'text', 'state', 'letter'])
  const { letter: open, ...asked } = search
  const filter = Object.fromEntries(
    Object.entries(asked).filter(([, value]) => value !== ''),
  ) as DeadLetterFilter
  const words = filterWords(filter)
  const list = useLetters(filter)
  const letters = list.data?.pages.flatMap((page) => page.letters) ?? []
  const groups = list.data?.pages[0]?.groups ?? []
  const { count, isAtLeast } = countOf(groups)
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set())
  const [bulk, setBulk] = useState<{ act: 'replay' | 'delete'; chosen: Chosen } | null>(null)
  const { replay, remove, outcome, setOutcome } = useActs(() => {
    setBulk(null)
    setMarked(new Set())
  })
  const replayThem = (chosen: Chosen, onConflict: ConflictRule | null): void =>
    replay.mutate(
      { chosen, onConflict },
      // the one that is open is gone when it went in
      { onSuccess: (done) => isAboutGone(chosen, open, done) && setSearch({ letter: '' }) },
    )
  const key = JSON.stringify(filter)
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is marked is of one filter
  useEffect(() => setMarked(new Set()), [key])
  const choose = (letter: string): void => setSearch({ letter }, { push: open === '' })
  const step = (by: number): void => {
    const at = letters.findIndex(({ id }) => id === open)
    const next = letters[at < 0 ? 0 : at + by]
    if (next !== undefined) choose(next.id)
  }
  const filtered: Chosen = { kind: 'filter', filter }
  const some: Chosen = { kind: 'ids', ids: [...marked] }
  useCommands([
    { id: 'letters.next', title: 'Next letter', keys: 'j', run: () => step(1) },
    { id: 'letters.previous', title: 'Letter before', keys: 'k', run: () => step(-1) },
    {
      id: 'letters.replay',
      title: 'Replay all that match',
      keys: 'a',
      run: () => count > 0 && setBulk({ act: 'replay', chosen: filtered }),
    },
    { id: 'letters.refresh', title: 'Read letters again', keys: 'r', run: () => void list.refetch() },
  ])
  return (
    <>
      <PageHeader
        title="Dead letters"
        subtitle={
          list.data === undefined
            ? 'Reading…'
            : `${lettersOf(count, isAtLeast)}${words === '' ? '' : ` ${words}`}${me.allTenants ? '' : ` of ${me.tenant}`}`
        }
        actions={
          <>
            <Button disabled={count === 0} onClick={() => setBulk({ act: 'replay', chosen: filtered })}>
              Replay all…
            </Button>
            <Button
              kind="danger"
              disabled={count === 0}
              onClick={() => setBulk({ act: 'delete', chosen: filtered })}
            >
              Delete all…
            </Button>
          </>
        }
      />
      <Filters
        filter={asked}
        groups={groups}
        letters={letters}
        onChange={(change) => setSearch({ ...change, letter: '' })}
      />
      {outcome !== null && <Outcome replay={outcome} onOpen={choose} onClose={() => setOutcome(null)} />}
      <Split
        title={open === '' ? '' : `Letter ${open}`}
        choice={open}
        onClose={() => setSearch({ letter: '' })}
        detail={
          open === '' ? null : (
            <Detail
              id={open}
              onReplay={({ id, reason }) =>
                reason === 'duplicate_key'
                  ? setBulk({ act: 'replay', chosen: { kind: 'ids', ids: [id] } })
                  : replayThem({ kind: 'ids', ids: [id] }, null)
              }
              onDelete={({ id }) => setBulk({ act: 'delete', chosen: { kind: 'ids', ids: [id] } })}
            />
          )
        }
      >
        {letters.length > 0 && (
          <div className={styles['bar']}>
            <Checkbox
              label={marked.size === 0 ? 'Mark all that are shown' : `${marked.size} marked`}
              checked={marked.size === letters.length}
              onChange={(checked) => setMarked(new Set(checked ? letters.map(({ id }) => id) : []))}
            />
            <Button
              small
              disabled={marked.size === 0}
              onClick={() => setBulk({ act: 'replay', chosen: some })}
            >
              Replay marked…
            </Button>
            <Button
              small
              disabled={marked.size === 0}
              onClick={() => setBulk({ act: 'delete', chosen: some })}
            >
              Delete marked…
            </Button>
          </div>
        )}
        <Query result={list} skeleton={<Skeleton height={440} />}>
          {() => (
            <>
              <Table
                caption="Dead letters, the newest first"
                columns={columnsOf(marked, setMarked).filter(({ id }) => open === '' || besideDetail.has(id))}
                rows={letters}
                keyOf={({ id }) => id}
                onRow={({ id }) => choose(id)}
                isSelected={({ id }) => id === open}
                empty={words === '' ? <Nothing /> : <NoMatch onClear={() => setSearch(nothingAsked)} />}
              />
              {list.hasNextPage && (
                <p className={styles['more']}>
                  <Button busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
                    Load older
                  </Button>
                </p>
              )}
            </>
          )}
        </Query>
      </Split>
      {bulk !== null && (
        <Bulk
          {...bulk}
          isBusy={replay.isPending || remove.isPending}
          onClose={() => setBulk(null)}
          onDo={(onConflict) => {
            if (bulk.act === 'replay') replayThem(bulk.chosen, onConflict)
            else remove.mutate(bulk.chosen)
            if (bulk.act === 'delete' && bulk.chosen.kind === 'ids' && bulk.chosen.ids.includes(open))
              setSearch({ letter: '' })
          }}
        />
      )}
    </>
  )
}

const nothingAsked = { dataset: '', reason: '', column: '', text: '', state: '', letter: '' }

function Nothing(): ReactNode {
  return (
    <Empty title="No row was refused" command="tidemark dead-letters">
      Rows that do not fit are kept here with what was wrong, while the others of their batch are written.
      They can be corrected and replayed.
    </Empty>
  )
}

function NoMatch({ onClear }: { onClear(): void }): ReactNode {
  return (
    <Empty title="No letter matches" action={<Button onClick={onClear}>Show every letter</Button>}>
      They may have been replayed, or the filter is too narrow.
    </Empty>
  )
}

/** What there is room for beside one that is chosen, which says the rest. */
const besideDetail = new Set(['mark', 'at', 'column', 'value', 'state'])

function columnsOf(
  marked: ReadonlySet<string>,
  setMarked: (marked: ReadonlySet<string>) => void,
): readonly Column<DeadLetter>[] {
  return [
    {
      id: 'mark',
      title: 'Mark',
      cell: ({ id }) => (
        // biome-ignore lint/a11y/noStaticElementInteractions: the row's own click is kept away from the box
        // biome-ignore lint/a11y/useKeyWithClickEvents: the box has its own keys
        <span className={styles['mark']} onClick={(event) => event.stopPropagation()}>
          <Checkbox
            label={<span className="visually-hidden">Letter {id}</span>}
            checked={marked.has(id)}
            onChange={(checked) => {
              const next = new Set(marked)
              if (checked) next.add(id)
              else next.delete(id)
              setMarked(next)
            }}
          />
        </span>
      ),
    },
    { id: 'at', title: 'Came', cell: ({ at }) => <Time value={at} precision="second" /> },
    { id: 'dataset', title: 'Dataset', cell: ({ dataset }) => dataset },
    { id: 'reason', title: 'Reason', cell: ({ reason }) => reason },
    { id: 'column', title: 'Column', cell: ({ column }) => column ?? '' },
    {
      id: 'value',
      title: 'Value',
      cell: ({ value }) => (value === null ? '' : <code className={styles['value']}>{value}</code>),
    },
    {
      id: 'state',
      title: 'State',
      cell: ({ state }) => {
        const { kind, label } = stateOf(state)
        return <Badge kind={kind}>{label}</Badge>
      },
    },
    {
      id: 'message',
      title: 'What was wrong',
      cell: ({ message }) => <span className={styles['message']}>{message}</span>,
    },
  ]
}
