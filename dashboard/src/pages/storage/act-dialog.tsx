import type { ReactNode } from 'react'
import type { StoredDataset } from 'tidemark/client'
import { formatBytes, formatNumber } from '../../format/index.ts'
import { Confirm } from '../../ui/index.ts'
import styles from './act-dialog.module.css'
import { type ActPlan, actNames, maxNamed } from './acts.ts'
import { spanText } from './words.ts'

interface ActDialogProps {
  readonly plan: ActPlan
  readonly dataset: StoredDataset
  /** Of the file system of the lake. */
  readonly freeBytes: number
  readonly zone: string
  onClose(): void
  onConfirm(): void
}

/** Says what will happen before it does. */
export function ActDialog({ plan, dataset, freeBytes, zone, onClose, onConfirm }: ActDialogProps): ReactNode {
  const { act, chunks, leftOut } = plan
  const count = countOf(chunks.length)
  const first = chunks[0]!
  const last = chunks[chunks.length - 1]!
  return (
    <Confirm
      title={`${actNames[act]} ${count} of ${dataset.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={onConfirm}
      confirmLabel={`${actNames[act]} ${count}`}
    >
      <div className={styles['body']}>
        <p>
          {spanText(first.from, last.to, zone)}: {formatNumber(plan.rows)} rows, {formatBytes(plan.bytes)}.
        </p>
        <ul className={styles['effects']}>
          {effects(plan, dataset).map((effect) => (
            <li key={effect}>{effect}</li>
          ))}
        </ul>
        {leftOut.map(({ reason, count: left }) => (
          <p key={reason} className={styles['quiet']}>
            {countOf(left)} of what you chose {left === 1 ? 'is' : 'are'} {reason} and left as{' '}
            {left === 1 ? 'it is' : 'they are'}.
          </p>
        ))}
        {warnings(plan, freeBytes).map((warning) => (
          <p key={warning} className={styles['warning']}>
            {warning}
          </p>
        ))}
      </div>
    </Confirm>
  )
}

function effects({ act, expectedBytes }: ActPlan, { freezeAfter }: StoredDataset): readonly string[] {
  const expected = expectedBytes === null ? '' : `, about ${formatBytes(expectedBytes)}`
  switch (act) {
    case 'freeze':
      return [
        `Their rows become Parquet files in the lake${expected}. Each file is read back and compared before a row leaves PostgreSQL.`,
        'Answers stay the same. Nobody who reads waits; whoever writes to a chunk waits 0.2 s at most, at its end.',
        'Plain SQL sees them no longer: it shows what is in PostgreSQL.',
      ]
    case 'thaw':
      return [
        `Their rows come back into PostgreSQL${expected}. The files are verified first, and swept later.`,
        'Answers stay the same, and plain SQL sees the rows again.',
        freezeAfter === null
          ? 'They stay there: this table is never frozen by itself.'
          : `The worker freezes them again when it comes to them, as they are older than ${freezeAfter}.`,
      ]
    case 'compact':
      return [
        'Each chunk is written anew as one file, with its late rows and without what was deleted.',
        'Answers stay the same. What the new files replace is swept later.',
      ]
    case 'verify':
      return [
        'Every file is read and compared with what was noted when it was written: its bytes, rows and contents.',
        'Nothing is changed, and nobody waits for it.',
      ]
  }
}

function warnings({ act, chunks, unfinished, expectedBytes }: ActPlan, freeBytes: number): readonly string[] {
  return [
    ...(act === 'freeze' && unfinished > 0
      ? [
          `${countOf(unfinished)} of them ${unfinished === 1 ? 'has' : 'have'} not ended yet. Rows that still come lie in PostgreSQL beside the files, until they are folded in.`,
        ]
      : []),
    ...(act === 'verify' && chunks.length > maxNamed
      ? [`No more than ${formatNumber(maxNamed)} chunks can be named at once: the whole table is verified.`]
      : []),
    ...(act === 'freeze' && expectedBytes !== null && expectedBytes > freeBytes * 0.8
      ? [`The disk of the lake has ${formatBytes(freeBytes)} left: that may be too little.`]
      : []),
  ]
}

export function countOf(count: number): string {
  return count === 1 ? '1 chunk' : `${formatNumber(count)} chunks`
}
