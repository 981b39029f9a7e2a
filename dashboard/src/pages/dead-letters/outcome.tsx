import { type ReactNode, useEffect, useRef } from 'react'
import type { DeadLetterReplay } from 'tidemark/client'
import { formatNumber } from '../../format/index.ts'
import { Button, IconButton, Table } from '../../ui/index.ts'
import styles from './dead-letters.module.css'
import { lettersOf, storedWords } from './words.ts'

/** What a replay came to: what went in, and what stays with why. */
export function Outcome({
  replay,
  onOpen,
  onClose,
}: {
  readonly replay: DeadLetterReplay
  onOpen(id: string): void
  onClose(): void
}): ReactNode {
  const { replayed, rejected, unreadable } = replay
  const box = useRef<HTMLElement>(null)
  // what was focused may be gone with its letter
  // biome-ignore lint/correctness/useExhaustiveDependencies: for each replay
  useEffect(() => box.current?.focus(), [replay])
  const left = rejected.count + Object.values(unreadable).reduce((sum, n) => sum + n, 0)
  return (
    <section
      ref={box}
      tabIndex={-1}
      className={styles['outcome']}
      data-kind={left > 0 ? 'warn' : 'ok'}
      aria-label="What the replay did"
    >
      <header className={styles['outcomeHead']}>
        <p role="status">
          <strong>{lettersOf(replayed)} replayed</strong>
          {replayed > 0 && `: ${storedWords(replay)}`}.{' '}
          {left > 0 && <strong>{left === 1 ? '1 stays' : `${formatNumber(left)} stay`}.</strong>}
        </p>
        <IconButton label="Put this away" icon="close" small onClick={onClose} />
      </header>
      {rejected.count > 0 && (
        <Table
          caption="Refused again"
          showCaption
          maxHeight="260px"
          rows={rejected.letters}
          keyOf={({ id }) => id}
          columns={[
            {
              id: 'letter',
              title: 'Letter',
              cell: ({ id }) => (
                <Button small onClick={() => onOpen(id)}>
                  Open {id}
                </Button>
              ),
            },
            { id: 'column', title: 'Column', cell: ({ column }) => column ?? '' },
            {
              id: 'why',
              title: 'Why',
              cell: ({ message }) => <span className={styles['message']}>{message}</span>,
            },
          ]}
        />
      )}
      {rejected.count > rejected.letters.length && (
        <p>
          The first {formatNumber(rejected.letters.length)} of {formatNumber(rejected.count)} are shown.
        </p>
      )}
      {Object.entries(unreadable).map(([why, n]) => (
        <p key={why}>
          {lettersOf(n)} cannot be replayed: {why}
        </p>
      ))}
    </section>
  )
}
