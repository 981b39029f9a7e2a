import { type ReactNode, useState } from 'react'
import type { Operation } from 'tidemark/client'
import { formatMs } from '../../format/index.ts'
import { useZone } from '../../shell/index.ts'
import { Badge, Button, Progress, Time } from '../../ui/index.ts'
import styles from './operations-list.module.css'
import { reportFindings, reportSizes } from './report-words.ts'
import { sentence, spanText } from './words.ts'

const verbs: Readonly<Record<Operation['kind'], string>> = {
  freeze: 'Freeze',
  thaw: 'Thaw',
  compact: 'Compact',
  verify: 'Verify',
  refresh: 'Refresh',
  sweep: 'Sweep the lake',
}

const badges = {
  running: ['info', 'running'],
  done: ['ok', 'done'],
  failed: ['error', 'failed'],
  cancelled: ['quiet', 'cancelled'],
} as const

/** Shown at once; what runs is the newest, and so among them. */
const few = 4

interface OperationsListProps {
  readonly operations: readonly Operation[]
  /** What is said where there is none. */
  readonly empty: string
  onCancel(id: string): void
  onAgain(operation: Operation): void
}

/** The newest first: progress and a way to stop of those that run, reports of those that have ended. */
export function OperationsList({ operations, empty, onCancel, onAgain }: OperationsListProps): ReactNode {
  const [isWhole, setIsWhole] = useState(false)
  const shown = isWhole ? operations : operations.slice(0, few)
  return (
    <>
      <p className="visually-hidden" role="status">
        {operations[0] === undefined ? '' : announcement(operations[0])}
      </p>
      {operations.length === 0 && <p className={styles['quiet']}>{empty}</p>}
      <ul className={styles['list']} aria-label="Operations">
        {shown.map((operation) => (
          <OperationItem key={operation.id} operation={operation} onCancel={onCancel} onAgain={onAgain} />
        ))}
      </ul>
      {shown.length < operations.length && (
        <div className={styles['more']}>
          <Button small kind="quiet" onClick={() => setIsWhole(true)}>
            Show all {operations.length}
          </Button>
        </div>
      )}
    </>
  )
}

/** Of the newest, and only when it begins or ends: progress would talk without end. */
function announcement({ kind, dataset, state, report, error }: Operation): string {
  const what = `${verbs[kind]}${dataset === null ? '' : ` ${dataset}`}: ${badges[state][1]}`
  return [what, state === 'running' ? '' : (report?.text ?? error?.message ?? '')].filter(Boolean).join('. ')
}

function OperationItem(props: {
  readonly operation: Operation
  onCancel(id: string): void
  onAgain(operation: Operation): void
}): ReactNode {
  const { operation, onCancel, onAgain } = props
  const { id, kind, dataset, state, startedAt, endedAt, by, error } = operation
  const { zone } = useZone()
  const findings = reportFindings(operation)
  const [badge, word] =
    findings.length > 0 && state === 'done' ? (['warn', 'done, with findings'] as const) : badges[state]
  const what = whatOf(operation, zone)
  return (
    <li className={styles['item']} data-state={state} data-kind={kind}>
      <div className={styles['head']}>
        <strong>
          {verbs[kind]} {dataset}
        </strong>
        <Badge kind={badge}>{word}</Badge>
        <span className={styles['quiet']}>
          {what === '' ? '' : `${what}, `}
          {endedAt === null ? 'began ' : `took ${formatMs(Date.parse(endedAt) - Date.parse(startedAt))}, `}
          <Time value={endedAt ?? startedAt} ago />, by {by}
        </span>
      </div>
      {state === 'running' && <Running operation={operation} onCancel={() => onCancel(id)} />}
      {operation.report && (
        <p>
          {operation.report.text}
          {reportSizes(operation)}
        </p>
      )}
      {findings.length > 0 && (
        <ul className={styles['findings']}>
          {findings.map((finding) => (
            <li key={finding}>{finding}</li>
          ))}
        </ul>
      )}
      {state === 'cancelled' && <p>Stopped. What was done by then stays done.</p>}
      {error && state === 'failed' && (
        <p className={styles['error']}>
          {sentence(error.message)} <code>{error.code}</code>
        </p>
      )}
      {(state === 'failed' || state === 'cancelled') && (
        <div>
          <Button small onClick={() => onAgain(operation)}>
            {state === 'failed' ? 'Try again' : 'Go on'}
          </Button>
        </div>
      )}
    </li>
  )
}

function Running({ operation, onCancel }: { readonly operation: Operation; onCancel(): void }): ReactNode {
  const { progress, kind, dataset } = operation
  const left = progress?.secondsLeft ?? null
  return (
    <div className={styles['running']}>
      <Progress
        label={`${verbs[kind]} ${dataset ?? ''}`}
        done={progress?.done ?? 0}
        total={progress?.total ?? 0}
      />
      <span className={styles['quiet']}>
        {progress?.text ?? 'beginning'}
        {left === null ? '' : `, about ${formatMs(left * 1000)} left`}
      </span>
      <Button small onClick={onCancel} aria-label={`Cancel: ${verbs[kind]} ${dataset ?? ''}`}>
        Cancel
      </Button>
    </div>
  )
}

function whatOf({ chunks, from, to }: Operation, zone: string): string {
  if (chunks !== null) return chunks.length === 1 ? '1 chunk' : `${chunks.length} chunks`
  if (from !== null && to !== null) return spanText(from, to, zone)
  if (from !== null) return `from ${from}`
  return to === null ? '' : `until ${to}`
}
