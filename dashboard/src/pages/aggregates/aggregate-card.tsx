import { type ReactNode, useMemo, useState } from 'react'
import type { AggregateHealth, Operation, OperationRequest } from 'tidemark/client'
import { formatAgo, formatBytes, formatInstant, formatMs, formatNumber } from '../../format/index.ts'
import { Badge, Button, Card, Progress, Skeleton, Table } from '../../ui/index.ts'
import { OperationsList } from '../storage/operations-list.tsx'
import { spanText } from '../storage/words.ts'
import styles from './aggregates.module.css'
import { RefreshDialog } from './refresh-dialog.tsx'
import { validitySpan } from './validity.ts'
import { ValidityStrip } from './validity-strip.tsx'

interface AggregateCardProps {
  readonly aggregate: AggregateHealth
  /** When the rows begin that it stands on; null: not known; undefined: not known yet. */
  readonly first: number | null | undefined
  /** The newest that was asked of it; null: none. */
  readonly operation: Operation | null
  readonly zone: string
  readonly now: number
  onRefresh(request: OperationRequest): void
  onCancel(id: string): void
}

/** How far one is, what is open, and who uses it. */
export function AggregateCard(props: AggregateCardProps): ReactNode {
  const { aggregate, first, operation, zone, now, onRefresh, onCancel } = props
  const { name, from, bucket, watermark } = aggregate
  const [isChoosing, setIsChoosing] = useState(false)
  const minute = Math.floor(now / 60_000) * 60_000
  const span = useMemo(() => validitySpan(first ?? null, watermark, minute), [first, watermark, minute])
  const isRunning = operation?.state === 'running'
  return (
    <Card
      title={name}
      actions={
        <>
          <Button
            small
            icon="refresh"
            busy={isRunning}
            onClick={() => onRefresh({ kind: 'refresh', dataset: name })}
          >
            Refresh now<span className="visually-hidden"> {name}</span>
          </Button>
          <Button small disabled={isRunning} onClick={() => setIsChoosing(true)}>
            Recompute…<span className="visually-hidden"> {name}</span>
          </Button>
        </>
      }
    >
      <div className={styles['card']}>
        <p className={styles['line']}>
          <StateBadge aggregate={aggregate} />
          <span className={styles['quiet']}>
            {bucket} buckets of {from}
          </span>
        </p>
        <Notes aggregate={aggregate} now={now} />
        {first === undefined ? (
          <Skeleton height={48} />
        ) : (
          <ValidityStrip aggregate={aggregate} span={span} zone={zone} />
        )}
        <Facts aggregate={aggregate} zone={zone} now={now} />
        {operation && (
          <OperationsList
            operations={[operation]}
            empty=""
            onCancel={onCancel}
            onAgain={() =>
              onRefresh({
                kind: 'refresh',
                dataset: name,
                ...(operation.from === null ? {} : { from: operation.from }),
                ...(operation.to === null ? {} : { to: operation.to }),
              })
            }
          />
        )}
        <OpenRanges aggregate={aggregate} zone={zone} />
        <Uses aggregate={aggregate} zone={zone} now={now} />
      </div>
      {isChoosing && (
        <RefreshDialog
          name={name}
          bucket={bucket}
          span={span}
          onClose={() => setIsChoosing(false)}
          onConfirm={(range) => {
            setIsChoosing(false)
            onRefresh({ kind: 'refresh', dataset: name, ...range })
          }}
        />
      )}
    </Card>
  )
}

function StateBadge({
  aggregate: { watermark, lagMs, error, open },
}: {
  readonly aggregate: AggregateHealth
}): ReactNode {
  if (error !== null) return <Badge kind="error">refresh fails</Badge>
  if (watermark === null) return <Badge kind="warn">nothing materialized yet</Badge>
  if (open.count > 0) return <Badge kind="warn">{`${formatNumber(open.count)} open`}</Badge>
  if (lagMs === 0) return <Badge kind="ok">up to date</Badge>
  return <Badge kind="info">{`${formatMs(lagMs ?? 0)} behind`}</Badge>
}

function Notes({ aggregate, now }: { readonly aggregate: AggregateHealth; readonly now: number }): ReactNode {
  const { name, error, failures, nextRefresh, isDeclared, building, versions } = aggregate
  const current = versions.find(({ state }) => state === 'current')
  const next = versions.find(({ state }) => state === 'building')
  return (
    <>
      {error !== null && (
        <p className={styles['note']} data-kind="error">
          It could not be refreshed{failures > 1 ? ` (${failures} times in a row)` : ''}: {error} Answers stay
          right, and are slower.{' '}
          {nextRefresh !== null && `The worker tries again ${formatAgo(nextRefresh, now)}.`}
        </p>
      )}
      {!isDeclared && (
        <p className={styles['note']} data-kind="warn">
          It is no longer declared: nobody refreshes it, and retention waits for it. Declare it again, or drop
          it: <code>tidemark migrate --drop-aggregate {name}</code>
        </p>
      )}
      {next && building && (
        <div className={styles['note']} data-kind="info">
          <Progress
            label={
              current
                ? `Version ${current.version} answers. Version ${next.version} is built beside it and takes its place when it has caught up.`
                : `Version ${next.version} is built; rows answer until it has caught up.`
            }
            done={building.done}
            total={building.total}
          />
        </div>
      )}
    </>
  )
}

function Facts(props: {
  readonly aggregate: AggregateHealth
  readonly zone: string
  readonly now: number
}): ReactNode {
  const { aggregate, zone, now } = props
  const { watermark, lagMs, open, cells, bytes, retain, lastRefresh, nextRefresh, refreshEveryMs } = aggregate
  const { versions, unknownBefore } = aggregate
  return (
    <dl className={styles['facts']}>
      <Fact
        name="Watermark"
        value={watermark === null ? 'none yet' : formatInstant(watermark, zone)}
        note={
          watermark === null || lagMs === null ? '' : lagMs === 0 ? 'up to now' : `${formatMs(lagMs)} behind`
        }
      />
      <Fact
        name="Open changes"
        value={formatNumber(open.entries)}
        note={
          open.count === 0
            ? 'no range to compute'
            : `${formatNumber(open.count)} ${open.count === 1 ? 'range' : 'ranges'} to compute`
        }
      />
      <Fact name="Cells" value={formatNumber(cells)} note={`${formatBytes(bytes)} with indexes`} />
      <Fact
        name="Last refresh"
        value={lastRefresh === null ? 'never' : formatAgo(lastRefresh.at, now)}
        note={lastRefresh?.ms == null ? '' : `took ${formatMs(lastRefresh.ms)}`}
      />
      <Fact
        name="Next refresh"
        value={
          nextRefresh === null
            ? 'no worker yet'
            : Date.parse(nextRefresh) <= now
              ? 'due now'
              : formatAgo(nextRefresh, now)
        }
        note={nextRefresh === null ? 'start "tidemark worker"' : `every ${formatMs(refreshEveryMs)}`}
      />
      <Fact
        name="Versions"
        value={versions.map(({ version, state }) => `${version} ${state}`).join(', ') || 'none'}
        note={retain === null ? 'kept for good' : `kept ${retain}`}
      />
      {unknownBefore !== null && (
        <Fact
          name="Not known before"
          value={formatInstant(unknownBefore, zone)}
          note="the rows are gone, and nobody kept it"
        />
      )}
    </dl>
  )
}

function Fact({
  name,
  value,
  note,
}: {
  readonly name: string
  readonly value: string
  readonly note: string
}): ReactNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value} {note !== '' && <span className={styles['quiet']}>{note}</span>}
      </dd>
    </div>
  )
}

function OpenRanges({
  aggregate: { name, open },
  zone,
}: {
  readonly aggregate: AggregateHealth
  readonly zone: string
}): ReactNode {
  if (open.ranges.length === 0) return null
  const more = open.count - open.ranges.length
  return (
    <details className={styles['details']}>
      <summary>
        {formatNumber(open.count)} open {open.count === 1 ? 'range' : 'ranges'}
      </summary>
      <Table
        caption={`Open ranges of ${name}`}
        rows={open.ranges}
        keyOf={({ from }) => from}
        maxHeight="220px"
        columns={[
          {
            id: 'range',
            title: 'From – until',
            cell: ({ from, to }) =>
              from === '-infinity' ? `until ${formatInstant(to, zone)}` : spanText(from, to, zone),
          },
          {
            id: 'length',
            title: 'Length',
            align: 'right',
            cell: ({ from, to }) =>
              from === '-infinity' ? '—' : formatMs(Date.parse(to) - Date.parse(from)),
          },
        ]}
      />
      {more > 0 && <p className={styles['quiet']}>and {formatNumber(more)} more</p>}
    </details>
  )
}

function Uses(props: {
  readonly aggregate: AggregateHealth
  readonly zone: string
  readonly now: number
}): ReactNode {
  const { aggregate, zone, now } = props
  const { name, usedBy } = aggregate
  if (usedBy.queries === 0)
    return (
      <p className={styles['quiet']}>
        No query has been answered from it since this process began. A query uses it by itself where bucket,
        groups, filter and functions fit; its plan says why another was not.
      </p>
    )
  return (
    <details className={styles['details']}>
      <summary>
        Answered {formatNumber(usedBy.queries)} {usedBy.queries === 1 ? 'query' : 'queries'} since this
        process began
        {usedBy.lastAt === null ? '' : `, the last one ${formatAgo(usedBy.lastAt, now)}`}
      </summary>
      <Table
        caption={`Queries that were answered from ${name}`}
        rows={usedBy.recent.map((use, i) => ({ ...use, key: `${use.at} ${i}` }))}
        keyOf={({ key }) => key}
        maxHeight="260px"
        columns={[
          { id: 'at', title: 'When', cell: ({ at }) => formatInstant(at, zone, { precision: 'second' }) },
          { id: 'dataset', title: 'Asked', cell: ({ dataset }) => dataset },
          { id: 'summary', title: 'Query', cell: ({ summary }) => <code>{summary}</code> },
          { id: 'ms', title: 'Took', align: 'right', cell: ({ ms }) => formatMs(ms), sortBy: ({ ms }) => ms },
        ]}
      />
    </details>
  )
}
