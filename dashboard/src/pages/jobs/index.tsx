import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import type { JobHealth, JobsHealth, WorkerHealth } from 'tidemark/client'
import { may, useClient, useMe } from '../../api/index.ts'
import { formatMs } from '../../format/index.ts'
import { useCommands, useNow } from '../../shell/index.ts'
import {
  Badge,
  type Column,
  Empty,
  PageHeader,
  Quantity,
  Query,
  Skeleton,
  Table,
  Tabs,
  Time,
} from '../../ui/index.ts'
import { Advice, Gate, Split, useSearchState } from '../operate/index.ts'
import { JobDetail } from './job-detail.tsx'
import { bySeverity, stateOf } from './job-state.ts'
import styles from './jobs.module.css'
import { Reports } from './reports.tsx'

/** What works in the background: when it ran, when it comes again, and what is wrong with it. */
export function Page(): ReactNode {
  return (
    <Gate title="Jobs" what="Jobs are" allTenants>
      <Jobs />
    </Gate>
  )
}

function Jobs(): ReactNode {
  const client = useClient()
  const me = useMe()
  const [search, setSearch] = useSearchState(['tab', 'job'])
  const tab = search.tab === 'workers' || search.tab === 'reports' ? search.tab : 'jobs'
  const jobs = useQuery({
    queryKey: ['jobs'],
    queryFn: ({ signal }) => client.operations.jobs({ signal }),
    refetchInterval: 5000,
  })
  const reports = useQuery({
    queryKey: ['reports'],
    queryFn: ({ signal }) => client.access.reports({ signal }),
    enabled: may(me, 'query'),
    refetchInterval: 30_000,
  })
  const open = (next: string): void => setSearch({ tab: next === 'jobs' ? '' : next, job: '' })
  useCommands([
    { id: 'jobs.refresh', title: 'Read jobs again', keys: 'r', run: () => void jobs.refetch() },
    { id: 'jobs.workers', title: 'Show workers', run: () => open('workers') },
    { id: 'jobs.reports', title: 'Show reports', run: () => open('reports') },
  ])
  return (
    <>
      <PageHeader title="Jobs" subtitle={<Summary health={jobs.data} />} />
      <div className={styles['tabs']}>
        <Tabs
          label="What works in the background"
          value={tab}
          tabs={[
            { value: 'jobs', label: 'Jobs', count: jobs.data?.jobs.length },
            { value: 'workers', label: 'Workers', count: jobs.data?.workers.length },
            ...(may(me, 'query')
              ? [{ value: 'reports', label: 'Reports', count: reports.data?.length }]
              : []),
          ]}
          onChange={open}
        />
      </div>
      {tab === 'reports' ? (
        <Query result={reports} skeleton={<Skeleton height={320} />}>
          {(data) => <Reports reports={data} />}
        </Query>
      ) : (
        <Query result={jobs} skeleton={<Skeleton height={480} />}>
          {(health) =>
            tab === 'workers' ? (
              <Workers workers={health.workers} />
            ) : (
              <JobList
                health={health}
                chosen={search.job}
                onChoose={(job) => setSearch({ job }, { push: true })}
              />
            )
          }
        </Query>
      )}
    </>
  )
}

function Summary({ health }: { readonly health: JobsHealth | undefined }): ReactNode {
  if (health === undefined) return 'Reading…'
  const failing = health.jobs.filter(({ failuresInARow }) => failuresInARow > 0).length
  const alive = health.workers.filter(({ isAlive }) => isAlive).length
  const words = failing === 0 ? 'None fails' : `${failing} of ${health.jobs.length} fail`
  return `${words}; ${alive === 0 ? 'no worker is alive' : `${alive} ${alive === 1 ? 'worker is' : 'workers are'} alive`}.`
}

function JobList({
  health: { jobs, workers },
  chosen,
  onChoose,
}: {
  readonly health: JobsHealth
  readonly chosen: string
  onChoose(job: string): void
}): ReactNode {
  const job = jobs.find(({ name }) => name === chosen) ?? null
  return (
    <>
      {!workers.some(({ isAlive }) => isAlive) && <NoWorker />}
      <Split
        title={job?.name ?? ''}
        choice={chosen}
        onClose={() => onChoose('')}
        detail={job && <JobDetail job={job} />}
      >
        <Table
          caption="Background jobs, what needs somebody first"
          columns={job === null ? columns : columns.filter(({ id }) => besideDetail.has(id))}
          rows={bySeverity(jobs)}
          keyOf={({ name }) => name}
          onRow={({ name }) => onChoose(name)}
          isSelected={({ name }) => name === chosen}
          empty={
            <Empty title="No job is known yet" command="tidemark worker">
              A worker notes its jobs when it first runs.
            </Empty>
          }
        />
      </Split>
    </>
  )
}

function NoWorker(): ReactNode {
  return (
    <section className={styles['note']} aria-label="No worker is alive">
      <strong>No worker is alive.</strong> Until one runs, chunks are not made ahead, and nothing is frozen,
      refreshed or dropped.
      <Advice text="Start `tidemark worker`; `tidemark dev` has one in it." />
    </section>
  )
}

/** What there is room for beside one that is chosen, which says the rest. */
const besideDetail = new Set(['job', 'state', 'last', 'next'])

const columns: readonly Column<JobHealth>[] = [
  {
    id: 'job',
    title: 'Job',
    sortBy: ({ name }) => name,
    cell: ({ job, dataset }) => (
      <span className={styles['job']}>
        <span>{job}</span>
        {dataset !== null && <span className={styles['quiet']}>{dataset}</span>}
      </span>
    ),
  },
  {
    id: 'state',
    title: 'State',
    sortBy: (job) => stateOf(job).rank,
    cell: (job) => {
      const { kind, label } = stateOf(job)
      return <Badge kind={kind}>{label}</Badge>
    },
  },
  {
    id: 'every',
    title: 'Every',
    align: 'right',
    sortBy: ({ everyMs }) => everyMs,
    cell: ({ everyMs }) => (everyMs === null ? '' : formatMs(everyMs)),
  },
  {
    id: 'last',
    title: 'Last run',
    sortBy: ({ lastFinishedAt }) => lastFinishedAt,
    cell: ({ lastFinishedAt }) => (lastFinishedAt === null ? 'never' : <Time value={lastFinishedAt} ago />),
  },
  {
    id: 'took',
    title: 'Took',
    align: 'right',
    sortBy: ({ lastMs }) => lastMs,
    cell: ({ lastMs }) => <Quantity value={lastMs} unit="ms" />,
  },
  {
    id: 'next',
    title: 'Next',
    sortBy: ({ nextAt }) => nextAt,
    cell: ({ nextAt, isRunning }) => <Next at={nextAt} isRunning={isRunning} />,
  },
  {
    id: 'failures',
    title: 'Failed',
    align: 'right',
    sortBy: ({ failures }) => failures,
    cell: ({ failures, failuresInARow, runs }) =>
      failures === 0 ? (
        '0'
      ) : (
        <span>
          {failures} of {runs}
          {failuresInARow > 1 && `, the last ${failuresInARow}`}
        </span>
      ),
  },
  {
    id: 'wrong',
    title: 'What is wrong',
    cell: ({ lastError, waitsFor, failuresInARow }) => (
      <span className={styles['wrong']}>{(failuresInARow > 0 ? lastError : waitsFor) ?? ''}</span>
    ),
  },
]

function Next({ at, isRunning }: { readonly at: string | null; readonly isRunning: boolean }): ReactNode {
  const now = useNow(5000)
  if (isRunning) return 'now'
  if (at === null) return ''
  return Date.parse(at) <= now ? 'due' : <Time value={at} ago />
}

function Workers({ workers }: { readonly workers: readonly WorkerHealth[] }): ReactNode {
  return (
    <Table
      caption="Processes that run jobs"
      columns={workerColumns}
      rows={workers}
      keyOf={({ id }) => id}
      empty={
        <Empty title="No worker has run yet" command="tidemark worker">
          Start as many as you like: they share the work.
        </Empty>
      }
    />
  )
}

const workerColumns: readonly Column<WorkerHealth>[] = [
  {
    id: 'worker',
    title: 'Worker',
    sortBy: ({ host }) => host,
    cell: ({ host, processId }) => `${host}, process ${processId}`,
  },
  {
    id: 'state',
    title: 'State',
    cell: ({ isAlive }) => <Badge kind={isAlive ? 'ok' : 'quiet'}>{isAlive ? 'alive' : 'gone'}</Badge>,
  },
  { id: 'running', title: 'Runs now', cell: ({ running }) => running ?? 'nothing' },
  {
    id: 'seen',
    title: 'Heard of',
    sortBy: ({ seenAt }) => seenAt,
    cell: ({ seenAt }) => <Time value={seenAt} ago />,
  },
  {
    id: 'since',
    title: 'Since',
    sortBy: ({ startedAt }) => startedAt,
    cell: ({ startedAt }) => <Time value={startedAt} precision="second" />,
  },
]
