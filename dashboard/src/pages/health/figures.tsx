import type { ReactNode } from 'react'
import type { Latency, Overview, TrafficPoint } from 'tidemark/client'
import { formatBytes, formatMs, formatNumber, formatPercent } from '../../format/index.ts'
import { Card, Quantity, Stat, Table } from '../../ui/index.ts'
import styles from './health.module.css'
import { statusOf } from './judge.ts'

/** How fast, how much, how far behind: of the last 5 minutes, with the last half hour beside it. */
export function Figures({ overview }: { readonly overview: Overview }): ReactNode {
  const { queries, writes, series } = overview
  return (
    <div className={styles['figures']}>
      <Card title="Queries">
        <Traffic
          latency={queries}
          first={
            <Stat
              label="Answered"
              value={<Quantity value={queries.perSecond} unit="perSecond" />}
              trend={series.map(({ queriesPerSecond }) => queriesPerSecond)}
              unit="perSecond"
            />
          }
          p50={series.map(({ queryP50Ms }) => queryP50Ms)}
          p95={series.map(({ queryP95Ms }) => queryP95Ms)}
          p99={series.map(({ queryP99Ms }) => queryP99Ms)}
        />
      </Card>
      <Card title="Writes">
        <Traffic
          latency={writes}
          first={
            <Stat
              label="Rows written"
              value={<Quantity value={writes.rowsPerSecond} unit="perSecond" />}
              trend={series.map(({ rowsPerSecond }) => rowsPerSecond)}
              unit="perSecond"
              hint={`${formatNumber(Number(writes.perSecond.toPrecision(3)))} batches a second`}
            />
          }
          p95={series.map(({ writeP95Ms }) => writeP95Ms)}
        />
      </Card>
      <Ways overview={overview} />
      <Caches overview={overview} />
      <div className={styles['wide']}>
        <Minutes series={series} />
      </div>
    </div>
  )
}

function Traffic({
  latency,
  first,
  p50,
  p95,
  p99,
}: {
  readonly latency: Latency
  readonly first: ReactNode
  readonly p50?: readonly (number | null)[]
  readonly p95: readonly (number | null)[]
  readonly p99?: readonly (number | null)[]
}): ReactNode {
  return (
    <dl className={styles['stats']}>
      {first}
      <Stat label="p50" value={<Quantity value={latency.p50Ms} unit="ms" />} trend={p50} unit="ms" />
      <Stat label="p95" value={<Quantity value={latency.p95Ms} unit="ms" />} trend={p95} unit="ms" />
      <Stat label="p99" value={<Quantity value={latency.p99Ms} unit="ms" />} trend={p99} unit="ms" />
      <Stat
        label="Failed"
        value={formatNumber(latency.errors)}
        status={latency.errors > 0 ? 'warn' : 'ok'}
        hint="not for what was asked"
      />
      <Stat label="Refused" value={formatNumber(latency.refused)} hint="wrong requests, limits" />
    </dl>
  )
}

/** How far rows are on their way, and through how many doors. */
function Ways({ overview: { ingest, syncLag, pool, redis } }: { readonly overview: Overview }): ReactNode {
  return (
    <Card title="On their way">
      <dl className={styles['stats']}>
        <Stat
          label="Wait for PostgreSQL"
          value={<Quantity value={ingest.waitingRows} unit="rows" />}
          hint={`rows; ${formatBytes(ingest.waitingBytes)} of ${formatBytes(ingest.maxWaitingBytes)}`}
          status={statusOf(ingest.waitingBytes, ingest.maxWaitingBytes)}
        />
        <Stat
          label="Spool"
          value={<Quantity value={ingest.spoolBytes} unit="bytes" />}
          hint={
            ingest.maxSpoolBytes === 0
              ? 'there is none'
              : `of ${formatBytes(ingest.maxSpoolBytes)}${syncLag.spoolMs ? `, since ${formatMs(syncLag.spoolMs)}` : ''}`
          }
          status={statusOf(ingest.spoolBytes, ingest.maxSpoolBytes)}
        />
        <Stat
          label="Connections"
          value={`${formatNumber(pool.inUse)} of ${formatNumber(pool.max)}`}
          hint={
            pool.waiting > 0
              ? `${formatNumber(pool.waiting)} wait for one`
              : `${formatNumber(pool.idle)} idle`
          }
          status={pool.waiting > 0 ? 'warn' : 'ok'}
        />
        <Stat
          label="Aggregates behind"
          value={<Quantity value={syncLag.aggregatesMs} unit="ms" />}
          hint={syncLag.aggregatesMs === null ? 'there is none' : 'the one that is furthest'}
        />
        <Stat
          label="Live answers behind"
          value={<Quantity value={syncLag.feedMs} unit="ms" />}
          hint={syncLag.feedMs === null ? 'nobody follows the feed' : 'of the feed'}
        />
        <Stat
          label="Redis"
          value={redis === null ? '—' : redis.isUp ? 'up' : 'away'}
          hint={redis === null ? 'not used' : 'shared by servers'}
          status={redis !== null && !redis.isUp ? 'warn' : 'ok'}
        />
      </dl>
    </Card>
  )
}

function Caches({ overview: { cache } }: { readonly overview: Overview }): ReactNode {
  const rows = [...cache.layers, ...(cache.results === null ? [] : [cache.results])]
  return (
    <Card title="Caches">
      <Table
        caption="Caches since the process began"
        rows={rows}
        keyOf={({ name }) => name}
        columns={[
          { id: 'name', title: 'Layer', cell: ({ name }) => name },
          {
            id: 'ratio',
            title: 'Hit rate',
            align: 'right',
            cell: ({ ratio }) => (ratio === null ? 'not asked' : formatPercent(ratio)),
          },
          {
            id: 'hits',
            title: 'Hits',
            align: 'right',
            cell: ({ hits, misses }) =>
              `${formatNumber(hits, { compact: true })} of ${formatNumber(hits + misses, { compact: true })}`,
          },
          {
            id: 'holds',
            title: 'Holds',
            align: 'right',
            cell: ({ entries, bytes }) =>
              `${formatNumber(entries, { compact: true })}, ${formatBytes(bytes)}`,
          },
        ]}
        empty="No layer is switched on: docs/guide/caching.md says when one is worth it."
      />
    </Card>
  )
}

const pointsOfMinute = 6

/** The same as the lines beside the figures, as a table. */
function Minutes({ series }: { readonly series: readonly TrafficPoint[] }): ReactNode {
  const minutes = series.filter((_, i) => (series.length - 1 - i) % pointsOfMinute === 0).reverse()
  return (
    <details className={styles['others']}>
      <summary>The last half hour as a table</summary>
      <Table
        caption="Ten seconds of each minute, the newest first"
        maxHeight="320px"
        rows={minutes}
        keyOf={({ at }) => at}
        columns={[
          { id: 'at', title: 'Until', cell: ({ at }) => at.slice(11, 19) },
          {
            id: 'q',
            title: 'Queries',
            align: 'right',
            cell: (one) => <Quantity value={one.queriesPerSecond} unit="perSecond" />,
          },
          {
            id: 'q50',
            title: 'p50',
            align: 'right',
            cell: (one) => <Quantity value={one.queryP50Ms} unit="ms" />,
          },
          {
            id: 'q95',
            title: 'p95',
            align: 'right',
            cell: (one) => <Quantity value={one.queryP95Ms} unit="ms" />,
          },
          {
            id: 'q99',
            title: 'p99',
            align: 'right',
            cell: (one) => <Quantity value={one.queryP99Ms} unit="ms" />,
          },
          { id: 'qe', title: 'Failed', align: 'right', cell: (one) => formatNumber(one.queryErrors) },
          {
            id: 'w',
            title: 'Rows written',
            align: 'right',
            cell: (one) => <Quantity value={one.rowsPerSecond} unit="perSecond" />,
          },
          {
            id: 'w95',
            title: 'Write p95',
            align: 'right',
            cell: (one) => <Quantity value={one.writeP95Ms} unit="ms" />,
          },
          { id: 'we', title: 'Failed', align: 'right', cell: (one) => formatNumber(one.writeErrors) },
        ]}
      />
    </details>
  )
}
