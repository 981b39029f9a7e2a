import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import type { AggregateHealth, OperationRequest } from 'tidemark/client'
import { useClient, useDatasets } from '../../api/index.ts'
import { formatBytes, formatMs, formatNumber } from '../../format/index.ts'
import { useCommands, useNow, useToast, useZone } from '../../shell/index.ts'
import { Code, Empty, PageHeader, Query, Skeleton, Stat } from '../../ui/index.ts'
import { Gate } from '../operate/index.ts'
import { useOperationActs, useOperations } from '../storage/use-operations.ts'
import { useStorage } from '../storage/use-storage.ts'
import { AggregateCard } from './aggregate-card.tsx'
import styles from './aggregates.module.css'
import { declarationFor } from './declaration.ts'
import { firstRowsOf } from './validity.ts'
import { says } from './validity-strip.tsx'

/** Whether what is asked most is computed already, and how far. */
export function Page(): ReactNode {
  return (
    <Gate title="Aggregates" what="Aggregates are" allTenants>
      <AggregatesPage />
    </Gate>
  )
}

function AggregatesPage(): ReactNode {
  const client = useClient()
  const operations = useOperations()
  const isBusy =
    operations.data?.some(({ kind, state }) => kind === 'refresh' && state === 'running') ?? false
  const aggregates = useQuery({
    queryKey: ['aggregates'],
    queryFn: ({ signal }) => client.operations.aggregates({ signal }),
    refetchInterval: isBusy ? 1000 : 5000,
  })
  return (
    <>
      <PageHeader title="Aggregates" subtitle="What is kept up to date, how far it is, and what uses it" />
      <Query result={aggregates} skeleton={<AggregatesSkeleton />}>
        {(data) => (data.length === 0 ? <NothingDeclared /> : <Aggregates aggregates={data} />)}
      </Query>
    </>
  )
}

function Aggregates({ aggregates }: { readonly aggregates: readonly AggregateHealth[] }): ReactNode {
  const operations = useOperations()
  const storage = useStorage(false)
  const { start, cancel } = useOperationActs()
  const toast = useToast()
  const { zone } = useZone()
  const now = useNow(5000)
  const refresh = (request: OperationRequest): void =>
    void start(request).then(
      () => toast({ kind: 'ok', text: `${request.dataset} is being refreshed.` }),
      // told by useOperationActs
      () => {},
    )
  useCommands(
    aggregates.map(({ name }) => ({
      id: `aggregates.refresh.${name}`,
      title: `Refresh ${name} now`,
      run: () => refresh({ kind: 'refresh', dataset: name }),
    })),
  )
  return (
    <div className={styles['page']}>
      <Totals aggregates={aggregates} />
      <ul className={styles['legend']} aria-label="What the colours mean">
        {(['valid', 'open', 'rows'] as const).map((kind) => (
          <li key={kind}>
            <span className={styles['swatch']} data-kind={kind} aria-hidden="true" />
            {says[kind]}
          </li>
        ))}
        <li>
          <span className={styles['swatch']} data-kind="watermark" aria-hidden="true" />
          watermark: the end of what is materialized
        </li>
      </ul>
      {aggregates.map((aggregate) => (
        <AggregateCard
          key={aggregate.name}
          aggregate={aggregate}
          first={
            storage.isPending
              ? undefined
              : firstRowsOf(aggregate.name, aggregates, storage.data?.datasets ?? [])
          }
          operation={
            operations.data?.find(({ kind, dataset }) => kind === 'refresh' && dataset === aggregate.name) ??
            null
          }
          zone={zone}
          now={now}
          onRefresh={refresh}
          onCancel={cancel}
        />
      ))}
    </div>
  )
}

function Totals({ aggregates }: { readonly aggregates: readonly AggregateHealth[] }): ReactNode {
  const sum = (value: (one: AggregateHealth) => number): number =>
    aggregates.reduce((total, one) => total + value(one), 0)
  const failing = aggregates.filter(({ error }) => error !== null).length
  const behind = Math.max(...aggregates.map(({ lagMs }) => lagMs ?? 0))
  const open = sum((one) => one.open.count)
  return (
    <dl className={styles['stats']}>
      <Stat
        label="Aggregates"
        value={formatNumber(aggregates.length)}
        hint={failing === 0 ? 'none fails' : `${formatNumber(failing)} cannot be refreshed`}
        {...(failing === 0 ? {} : { status: 'error' as const })}
      />
      <Stat
        label="Furthest behind"
        value={behind === 0 ? 'none' : formatMs(behind)}
        hint="rows answer what is missing"
      />
      <Stat
        label="Open ranges"
        value={formatNumber(open)}
        hint={`${formatNumber(sum((one) => one.open.entries))} changes no refresh has seen`}
      />
      <Stat
        label="Cells"
        value={formatNumber(
          sum(({ cells }) => cells),
          { compact: true },
        )}
        hint={formatBytes(sum(({ bytes }) => bytes))}
      />
      <Stat
        label="Queries answered"
        value={formatNumber(
          sum(({ usedBy }) => usedBy.queries),
          { compact: true },
        )}
        hint="since this process began"
      />
    </dl>
  )
}

function NothingDeclared(): ReactNode {
  const datasets = useDatasets()
  return (
    <Empty title="No continuous aggregate is declared">
      <div className={styles['card']}>
        <p>
          It keeps the answer to a query that is asked again and again, for each bucket and group, and the
          worker keeps it up to date. Every query that fits uses it by itself, and is right at any moment.
          Into tidemark.config.ts:
        </p>
        <Code text={declarationFor(datasets.data ?? [])} label="A declaration to copy" copy />
        <p>The worker fills it, the newest first.</p>
      </div>
    </Empty>
  )
}

function AggregatesSkeleton(): ReactNode {
  return (
    <div className={styles['page']} aria-hidden="true">
      <Skeleton height={88} />
      <Skeleton height={20} />
      <Skeleton height={300} />
    </div>
  )
}
