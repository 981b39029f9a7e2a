import { type ReactNode, useMemo, useState } from 'react'
import type { Board } from 'tidemark/client'
import { useMe } from '../../api/index.ts'
import { Badge, Button, type Column, Dialog, Select, Table, Time } from '../../ui/index.ts'
import styles from './board.module.css'
import { type Draft, draftOf } from './document.ts'
import { type Act, type Difference, differences, merged, type Side } from './merge.ts'

const done: Readonly<Record<Act, string>> = { added: 'added', changed: 'changed', removed: 'removed' }

/** Somebody else has changed the board as well: what each did, and what is to come of it. Whatever is chosen, nothing is lost. */
export function ConflictDialog({
  base,
  mine,
  theirs,
  busy,
  onMerged,
  onCopy,
  onClose,
}: {
  /** The version that both began with. */
  readonly base: Board
  readonly mine: Draft
  /** As it is now. */
  readonly theirs: Board
  readonly busy: boolean
  readonly onMerged: (draft: Draft) => void
  readonly onCopy: () => void
  readonly onClose: () => void
}): ReactNode {
  const me = useMe()
  const [choices, setChoices] = useState<ReadonlyMap<string, Side>>(new Map())
  const [before, after] = useMemo(() => [draftOf(base), draftOf(theirs)], [base, theirs])
  const all = useMemo(() => differences(before, mine, after), [before, mine, after])
  const conflicts = all.filter(({ isConflict }) => isConflict).length

  const columns: readonly Column<Difference>[] = [
    { id: 'what', title: 'Part', cell: ({ what }) => what.charAt(0).toUpperCase() + what.slice(1) },
    { id: 'mine', title: 'You', cell: (one) => <Did act={one.mine} parts={one.parts.mine} /> },
    {
      id: 'theirs',
      title: 'They',
      cell: (one) => <Did act={one.theirs} parts={one.parts.theirs} />,
    },
    {
      id: 'keep',
      title: 'Keep',
      cell: ({ key, what, mine: my, isConflict }) =>
        isConflict ? (
          <Select<Side>
            label={`Of ${what} keep`}
            hideLabel
            value={choices.get(key) ?? 'mine'}
            options={[
              { value: 'mine', label: 'yours' },
              { value: 'theirs', label: 'theirs' },
            ]}
            onChange={(side) => setChoices((was) => new Map(was).set(key, side))}
          />
        ) : (
          <span className={styles['quiet']}>{my === null ? 'theirs' : 'yours'}</span>
        ),
    },
  ]
  return (
    <Dialog
      title="This board was changed meanwhile"
      isOpen
      wide
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Go on editing</Button>
          <Button onClick={onCopy} busy={busy}>
            Save mine as a new board
          </Button>
          <Button kind="primary" busy={busy} onClick={() => onMerged(merged(before, mine, after, choices))}>
            Save both together
          </Button>
        </>
      }
    >
      <div className={styles['stack']}>
        <p>
          <strong>{theirs.updatedBy === me.id ? 'Another window of yours' : theirs.updatedBy}</strong> saved
          it <Time value={theirs.updatedAt} ago />.{' '}
          {conflicts === 0
            ? 'Nobody touched the same parts, so both can be kept.'
            : `${conflicts === 1 ? 'One part was' : `${conflicts} parts were`} changed on both sides: choose which to keep.`}
        </p>
        <Table caption="What was changed" columns={columns} rows={all} keyOf={({ key }) => key} />
      </div>
    </Dialog>
  )
}

function Did({ act, parts }: { readonly act: Act | null; readonly parts: readonly string[] }): ReactNode {
  if (act === null) return <span className={styles['quiet']}>—</span>
  return (
    <>
      <Badge kind={act === 'removed' ? 'warn' : 'info'}>{done[act]}</Badge>{' '}
      {parts.length > 0 && <span className={styles['quiet']}>{parts.join(', ')}</span>}
    </>
  )
}
