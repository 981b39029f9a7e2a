import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import type { Overview } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { formatMs } from '../../format/index.ts'
import { useCommands } from '../../shell/index.ts'
import { PageHeader, Query, Skeleton } from '../../ui/index.ts'
import { Gate, useSearchState } from '../operate/index.ts'
import { Figures } from './figures.tsx'
import { Findings } from './findings.tsx'
import styles from './health.module.css'
import { Slow } from './slow.tsx'

const refreshMs = 5000

/** Whether the place is well, and what to do where it is not. */
export function Page(): ReactNode {
  return (
    <Gate title="Health" what="Health is" allTenants>
      <Health />
    </Gate>
  )
}

function Health(): ReactNode {
  const client = useClient()
  const [{ query }, setSearch] = useSearchState(['query'])
  const overview = useQuery({
    queryKey: ['overview'],
    queryFn: ({ signal }) => client.operations.overview({ signal }),
    refetchInterval: refreshMs,
  })
  useCommands([
    { id: 'health.refresh', title: 'Look again', keys: 'r', run: () => void overview.refetch() },
    {
      id: 'health.slow',
      title: 'Go to slow queries',
      keys: 's',
      run: () => document.querySelector<HTMLElement>('#slow section[tabindex]')?.focus(),
    },
  ])
  return (
    <>
      <PageHeader
        title="Health"
        subtitle={overview.data === undefined ? 'Looking…' : whereIs(overview.data)}
      />
      <div className={styles['page']}>
        <Query result={overview} skeleton={<HealthSkeleton />}>
          {(data) => (
            <>
              <Findings overview={data} />
              <Figures overview={data} />
            </>
          )}
        </Query>
        <Slow chosen={query} onChoose={(next) => setSearch({ query: next }, { push: next !== '' })} />
      </div>
    </>
  )
}

function whereIs({ version, uptimeMs, postgres }: Overview): string {
  const database = postgres.reachable
    ? `PostgreSQL ${postgres.version ?? ''} at ${postgres.target}${postgres.ms === null ? '' : `, answers in ${formatMs(postgres.ms)}`}`
    : `PostgreSQL at ${postgres.target} cannot be reached`
  return `Tidemark ${version}, up ${formatMs(uptimeMs)}; ${database}.`
}

function HealthSkeleton(): ReactNode {
  return (
    <>
      <Skeleton height={110} />
      <Skeleton height={136} />
      <Skeleton height={136} />
      <Skeleton height={136} />
      <Skeleton height={136} />
    </>
  )
}
