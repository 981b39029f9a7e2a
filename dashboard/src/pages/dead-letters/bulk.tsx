import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import type { DeadLetterFilter } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { Button, Dialog, Query, Select, Skeleton, Table } from '../../ui/index.ts'
import styles from './dead-letters.module.css'
import { countOf, filterWords, lettersOf } from './words.ts'

/** Which letters: those that are named, or all that match. */
export type Chosen =
  | { readonly kind: 'ids'; readonly ids: readonly string[] }
  | { readonly kind: 'filter'; readonly filter: DeadLetterFilter }

export type ConflictRule = 'error' | 'ignore' | 'update'

export interface BulkProps {
  readonly act: 'replay' | 'delete'
  readonly chosen: Chosen
  readonly isBusy: boolean
  onDo(onConflict: ConflictRule | null): void
  onClose(): void
}

/** Says how many, of what, before anything is done with them. */
export function Bulk(props: BulkProps): ReactNode {
  return props.chosen.kind === 'ids' ? (
    <Ask {...props} count={props.chosen.ids.length} isAtLeast={false} words="">
      {null}
    </Ask>
  ) : (
    <Counted {...props} filter={props.chosen.filter} />
  )
}

/** Counted when it is asked for, not when the list was read. */
function Counted({ filter, ...props }: BulkProps & { readonly filter: DeadLetterFilter }): ReactNode {
  const client = useClient()
  const counted = useQuery({
    queryKey: ['dead-letters', 'count', filter],
    queryFn: ({ signal }) => client.operations.deadLetters({ ...filter, limit: 1 }, { signal }),
    gcTime: 0,
    staleTime: 0,
  })
  const groups = counted.data?.groups ?? []
  const { count, isAtLeast } = countOf(groups)
  return (
    <Ask
      {...props}
      count={counted.isFetching ? null : count}
      isAtLeast={isAtLeast}
      words={filterWords(filter)}
    >
      <Query result={counted} skeleton={<Skeleton height={120} />}>
        {() => (
          <Table
            caption="What they are"
            maxHeight="40vh"
            rows={groups}
            keyOf={({ dataset, reason, column }) => `${dataset} ${reason} ${column}`}
            columns={[
              { id: 'dataset', title: 'Dataset', cell: ({ dataset }) => dataset },
              { id: 'reason', title: 'Reason', cell: ({ reason }) => reason },
              { id: 'column', title: 'Column', cell: ({ column }) => column ?? '' },
              { id: 'rows', title: 'Letters', align: 'right', cell: ({ rows }) => rows },
            ]}
            empty="Nothing matches any more."
          />
        )}
      </Query>
    </Ask>
  )
}

function Ask({
  act,
  isBusy,
  onDo,
  onClose,
  count,
  isAtLeast,
  words,
  children,
}: BulkProps & {
  /** Null: it is being counted. */
  readonly count: number | null
  readonly isAtLeast: boolean
  readonly words: string
  readonly children: ReactNode
}): ReactNode {
  const [rule, setRule] = useState<ConflictRule | ''>('')
  const many = count === null ? '…' : lettersOf(count, isAtLeast)
  const verb = act === 'replay' ? 'Replay' : 'Delete'
  return (
    <Dialog
      title={`${verb} ${many}?`}
      isOpen
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            kind={act === 'replay' ? 'primary' : 'danger'}
            busy={isBusy || count === null}
            disabled={count === 0}
            onClick={() => onDo(rule === '' ? null : rule)}
          >
            {verb} {many}
          </Button>
        </>
      }
    >
      <div className={styles['form']}>
        {words !== '' && <p>All {words}.</p>}
        {children}
        {act === 'replay' ? (
          <>
            <p>
              Their rows go through the pipeline once more, each written once. What is refused again stays
              here and says why.
            </p>
            <Select<ConflictRule | ''>
              label="A row whose key exists"
              value={rule}
              options={[
                { value: '', label: 'As it came' },
                { value: 'error', label: 'Is refused' },
                { value: 'ignore', label: 'Is left as it is' },
                { value: 'update', label: 'Is overwritten' },
              ]}
              onChange={setRule}
            />
          </>
        ) : (
          <p className={styles['warning']}>
            The rows are gone for good: they are stored nowhere else. What can be corrected is better
            replayed.
          </p>
        )}
      </div>
    </Dialog>
  )
}
