import { useQuery } from '@tanstack/react-query'
import { memo, type ReactNode, useMemo, useState } from 'react'
import type { JobsHealth, StorageGrowth } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { formatAgo, formatBytes, formatInstant } from '../../format/index.ts'
import { Card, Query, Select, Skeleton, Table, Tabs } from '../../ui/index.ts'
import styles from './growth.module.css'
import { GrowthChart } from './growth-chart.tsx'
import { type GrowthData, growthData, growthPerDay } from './growth-data.ts'

const lengths = [
  { value: '7', label: '7 days' },
  { value: '30', label: '30 days' },
  { value: '365', label: '1 year' },
  { value: '1830', label: '5 years' },
] as const
type Length = (typeof lengths)[number]['value']

interface GrowthCardProps {
  readonly datasets: readonly string[]
  readonly zone: string
  readonly now: number
}

/** How large everything was, by the samples that the worker writes. */
export const GrowthCard = memo(function GrowthCard({ datasets, zone, now }: GrowthCardProps): ReactNode {
  const client = useClient()
  const [length, setLength] = useState<Length>('30')
  const [dataset, setDataset] = useState('')
  const growth = useQuery({
    queryKey: ['storage', 'growth', length],
    queryFn: ({ signal }) => client.operations.growth({ from: `-${length} days` }, { signal }),
    refetchInterval: 60_000,
    placeholderData: (before) => before,
  })
  return (
    <Card
      title="Growth"
      actions={
        <div className={styles['controls']}>
          <Select
            label="Table"
            hideLabel
            value={dataset}
            options={[
              { value: '', label: 'All together' },
              ...datasets.map((name) => ({ value: name, label: name })),
            ]}
            onChange={setDataset}
          />
          <Tabs<Length> label="How long" value={length} tabs={lengths} onChange={setLength} />
        </div>
      }
    >
      <Query result={growth} skeleton={<Skeleton height={260} />}>
        {(data) => <Growth growth={data} dataset={dataset === '' ? null : dataset} zone={zone} now={now} />}
      </Query>
    </Card>
  )
})

interface GrowthProps {
  readonly growth: StorageGrowth
  readonly dataset: string | null
  readonly zone: string
  readonly now: number
}

function Growth({ growth, dataset, zone, now }: GrowthProps): ReactNode {
  const data = useMemo(() => growthData(growth.samples, dataset), [growth, dataset])
  if (data.times.length < 2) return <FirstSample count={data.times.length} now={now} />
  const perDay = growthPerDay(data)
  const what = dataset ?? 'all tables'
  const label = `Bytes of ${what} from ${formatInstant(data.times[0]! * 1000, zone)} to ${formatInstant(
    data.times.at(-1)! * 1000,
    zone,
  )}: from ${formatBytes(data.total[0]!)} to ${formatBytes(data.total.at(-1)!)}`
  return (
    <div className={styles['body']}>
      <GrowthChart data={data} zone={zone} label={label} />
      {perDay !== null && (
        <p className={styles['rate']}>
          {perDay >= 0 ? 'Grows' : 'Shrinks'} by {formatBytes(Math.abs(perDay))} a day, from the first to the
          last sample shown.
        </p>
      )}
      <details>
        <summary>As a table</summary>
        <GrowthTable data={data} zone={zone} />
      </details>
    </div>
  )
}

function GrowthTable({ data, zone }: { readonly data: GrowthData; readonly zone: string }): ReactNode {
  const rows = data.times.map((time, i) => ({ time, cold: data.cold[i]!, total: data.total[i]! })).reverse()
  return (
    <Table
      caption="Samples of bytes"
      rows={rows}
      keyOf={({ time }) => String(time)}
      maxHeight="260px"
      columns={[
        { id: 'time', title: 'Time', cell: ({ time }) => formatInstant(time * 1000, zone) },
        {
          id: 'hot',
          title: 'PostgreSQL',
          align: 'right',
          cell: ({ total, cold }) => formatBytes(total - cold),
        },
        { id: 'cold', title: 'Lake', align: 'right', cell: ({ cold }) => formatBytes(cold) },
        { id: 'total', title: 'Together', align: 'right', cell: ({ total }) => formatBytes(total) },
      ]}
    />
  )
}

const jobName = 'sample-storage'

/** A line takes two samples; until then it is said when they come. */
function FirstSample({ count, now }: { readonly count: number; readonly now: number }): ReactNode {
  const client = useClient()
  const jobs = useQuery({
    queryKey: ['jobs'],
    queryFn: ({ signal }) => client.operations.jobs({ signal }),
    refetchInterval: 30_000,
  })
  return (
    <div className={styles['waiting']}>
      <strong>{count === 0 ? 'Nothing has been measured yet' : 'Measured once; a line takes two'}</strong>
      <p>
        {jobs.data === undefined ? 'The worker writes a sample every hour.' : whenNext(jobs.data, count, now)}
      </p>
    </div>
  )
}

function whenNext({ jobs, workers }: JobsHealth, count: number, now: number): string {
  const which = count === 0 ? 'first' : 'next'
  const job = jobs.find((one) => one.job === jobName)
  if (!workers.some(({ isAlive }) => isAlive))
    return `The worker writes a sample every hour, and none runs: start "tidemark worker" (or "tidemark dev", "npm start").`
  if (job?.lastError) return `The worker could not measure: ${job.lastError}`
  if (job?.nextAt && Date.parse(job.nextAt) > now)
    return `The ${which} sample comes ${formatAgo(job.nextAt, now)}.`
  return `The ${which} sample comes with the worker's next run, within a minute.`
}
