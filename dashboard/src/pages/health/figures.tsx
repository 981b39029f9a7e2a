import type { ReactNode } from 'react'
import type { Latency, Overview, TrafficPoint } from 'tidemark/client'
import { formatBytes, formatMs, formatNumber } from '../../format/index.ts'
import { Quantity, Stat, Table, Time } from '../../ui/index.ts'
import styles from './health.module.css'
import { statusOf } from './judge.ts'

/** How fast, how much, how far behind: of the last 5 minutes, with the last half hour beside it. */
export function Figures({ overview }: { readonly overview: Overview }): ReactNode {
  const { queries, writes, series } = overview
  return (
    <div className={styles['figures']}>
      <Group title="Queries">
        <Stat
          label="Answered"
          value={<Quantity value={queries.perSecond} unit="perSecond" />}
          trend={series.map(({ queriesPerSecond }) => queriesPerSecond)}
          unit="perSecond"
        />
        <Times
          latency={queries}
          p50={series.map(({ queryP50Ms }) => queryP50Ms)}
          p95={series.map(({ queryP95Ms }) => queryP95Ms)}
          p99={series.map(({ queryP99Ms }) => queryP99Ms)}
        />
      </Group>
      <Group title="Writes">
        <Stat
          label="Rows written"
          value={<Quantity value={writes.rowsPerSecond} unit="perSecond" />}
          trend={series.map(({ rowsPerSecond }) => rowsPerSecond)}
          unit="perSecond"
          hint={`${formatNumber(Number(writes.perSecond.toPrecision(2)))} batches a second`}
        />
        <Times latency={writes} p95={series.map(({ writeP95Ms }) => writeP95Ms)} />
      </Group>
      <Ways overview={overview} />
      <Caches overview={overview} />
      <Minutes series={series} />
    </div>
  )
}

function Group({ title, children }: { readonly title: string; readonly children: ReactNode }): ReactNode {
  return (
    <section>
      <h2 className={styles['title']}>{title}</h2>
      <dl className={styles['stats']}>{children}</dl>
    </section>
  )
}

function Times({
  latency,
  p50,
  p95,
  p99,
}: {
  readonly latency: Latency
  readonly p50?: readonly (number | null)[]
  readonly p95: readonly (number | null)[]
  readonly p99?: readonly (number | null)[]
}): ReactNode {
  return (
    <>
      <Stat label="p50" value={<Quantity value={latency.p50Ms} unit="ms" />} trend={p50} unit="ms" />
      <Stat label="p95" value={<Quantity value={latency.p95Ms} unit="ms" />} trend={p95} unit="ms" />
      <Stat label="p99" value={<Quantity value={latency.p99Ms} unit="ms" />} trend={p99} unit="ms" />
      <Stat
        label="Failed"
        value={formatNumber(latency.errors)}
        status={latency.errors > 0 ? 'warn' : 'ok'}
        hint="not the caller’s fault"
      />
      <Stat label="Refused" value={formatNumber(latency.refused)} hint="wrong requests, limits" />
    </>
  )
}

/** How far rows are on their way, and through how many doors. */
function Ways({ overview: { ingest, syncLag, pool, redis } }: { readonly overview: Overview }): ReactNode {
  return (
    <Group title="On their way">
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
          pool.waiting > 0 ? `${formatNumber(pool.waiting)} wait for one` : `${formatNumber(pool.idle)} idle`
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
    </Group>
  )
}

/** Hit rates since the process began. */
function Caches({ overview: { cache } }: { readonly overview: Overview }): ReactNode {
  const layers = [...cache.layers, ...(cache.results === null ? [] : [cache.results])]
  if (layers.length === 0) return null
  return (
    <Group title="Caches">
      {layers.map(({ name, ratio, hits, misses, entries, bytes }) => (
        <Stat
          key={name}
          label={`${name}, hit rate`}
          value={<Quantity value={ratio} unit="percent" />}
          hint={
            ratio === null
              ? 'nobody has asked'
              : `${formatNumber(hits, { compact: true })} of ${formatNumber(hits + misses, { compact: true })}; holds ${formatNumber(entries, { compact: true })}, ${formatBytes(bytes)}`
          }
        />
      ))}
    </Group>
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
          { id: 'at', title: 'From', cell: ({ at }) => <Time value={at} precision="second" /> },
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
