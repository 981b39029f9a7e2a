import { type ReactNode, useMemo } from 'react'
import { absolute, type PanelAnswer, planLanes } from '../../chart/index.ts'
import { formatMs, formatNumber } from '../../format/index.ts'
import { Badge, Button, Empty, Time } from '../../ui/index.ts'
import styles from './explore.module.css'
import type { ExploreState } from './state.ts'

/** What is said below a chart, and in place of one that has nothing to show. */

export function NoRows({
  state,
  newest,
  update,
}: {
  readonly state: ExploreState
  readonly newest: number | null
  update(change: Partial<ExploreState>): void
}): ReactNode {
  const day = 86_400_000
  const hasFilters = state.where.length > 0
  return (
    <Empty
      title={newest === null ? 'This dataset has no rows yet' : 'No rows in this range'}
      {...(newest === null
        ? { command: `npx tidemark import ${state.dataset} rows.csv` }
        : {
            action: (
              <div className={styles['formEnd']}>
                <Button kind="primary" onClick={() => update(absolute(newest - day, newest + 1000))}>
                  Show the last day that has rows
                </Button>
                {hasFilters && <Button onClick={() => update({ where: [] })}>Drop the conditions</Button>}
              </div>
            ),
          })}
    >
      {newest !== null && (
        <>
          The newest row is of <Time value={newest} precision="second" />.
        </>
      )}
    </Empty>
  )
}

/** In one line: how much was read, how long it took, how fresh it is, and whether it is live. */
export function Status({ result }: { readonly result: PanelAnswer }): ReactNode {
  const { answer, table, live, isAsking, error } = result
  const view = useMemo(
    () =>
      answer === undefined
        ? null
        : planLanes(answer.plan, { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY }),
    [answer],
  )
  return (
    <div className={styles['status']} role="status" aria-live="polite">
      {live !== null && (
        <Badge kind={live.state === 'live' ? 'ok' : live.state === 'ended' ? 'error' : 'warn'}>
          {live.state === 'live' ? 'live' : live.state === 'ended' ? 'live has ended' : 'connecting'}
        </Badge>
      )}
      {live?.error && <span>{live.error.message}</span>}
      {isAsking && answer === undefined && <span>Asking…</span>}
      {error !== null && error !== undefined && table !== undefined && !result.isOld && (
        <Badge kind="error">
          asking again failed: {error instanceof Error ? error.message : String(error)}
        </Badge>
      )}
      {answer !== undefined && view !== null && table !== undefined && (
        <span>
          {formatNumber(table.rows.length)} rows of answer
          {view.rows !== null && ` from ${formatNumber(view.rows, { compact: true })} rows read`} in{' '}
          {formatMs(answer.plan.ms.total)}
          {Object.keys(answer.plan.errorBounds).length === 0
            ? ', every number exact'
            : `, ${Object.keys(answer.plan.errorBounds).join(', ')} within a bound`}
          {', as of '}
          <Time value={live?.asOf ?? answer.plan.freshness.asOf} precision="second" />
        </span>
      )}
    </div>
  )
}
