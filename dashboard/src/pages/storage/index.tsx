import { type ReactNode, useMemo, useState } from 'react'
import type { Operation, Storage } from 'tidemark/client'
import { useCommands, useToast, useZone } from '../../shell/index.ts'
import { Card, Empty, PageHeader, Query, Skeleton } from '../../ui/index.ts'
import { Gate } from '../operate/index.ts'
import { ActDialog } from './act-dialog.tsx'
import { type Act, actKeys, actNames, acts, planAct, requestOf } from './acts.ts'
import { ChosenCard } from './chosen-card.tsx'
import { homeSpan, lanesOf, wholeSpan } from './chunk-model.ts'
import { ChunkTable } from './chunk-table.tsx'
import { GrowthCard } from './growth-card.tsx'
import { LakeMenu } from './lake-menu.tsx'
import { LanesCard } from './lanes-card.tsx'
import { OperationsList } from './operations-list.tsx'
import { PlainTables } from './plain-tables.tsx'
import { RangeForm } from './range-form.tsx'
import styles from './storage.module.css'
import { Totals } from './totals.tsx'
import { useChoice } from './use-choice.ts'
import { useOperationActs, useOperations } from './use-operations.ts'
import { useStorage } from './use-storage.ts'
import { chosen } from './walk.ts'

/** Where every row lies, and what happens to it next. */
export function Page(): ReactNode {
  return (
    <Gate title="Storage" what="Storage is" allTenants>
      <StoragePage />
    </Gate>
  )
}

function StoragePage(): ReactNode {
  const operations = useOperations()
  const { start, cancel } = useOperationActs()
  const isBusy = operations.data?.some(({ state }) => state === 'running') ?? false
  const storage = useStorage(isBusy)
  const toast = useToast()
  const begin = (request: Parameters<typeof start>[0], text: string): void =>
    void start(request).then(
      () => toast({ kind: 'ok', text }),
      // told by useOperationActs
      () => {},
    )
  return (
    <>
      <PageHeader
        title="Storage"
        subtitle="Every chunk: where it lies, and what happens to it next"
        actions={<LakeMenu onBegin={begin} />}
      />
      <Query result={storage} skeleton={<StorageSkeleton />}>
        {(data) => (
          <Loaded storage={data} operations={operations.data ?? []} onBegin={begin} onCancel={cancel} />
        )}
      </Query>
    </>
  )
}

interface LoadedProps {
  readonly storage: Storage
  readonly operations: readonly Operation[]
  onBegin(request: Parameters<ReturnType<typeof useOperationActs>['start']>[0], text: string): void
  onCancel(id: string): void
}

function Loaded({ storage, operations, onBegin, onCancel }: LoadedProps): ReactNode {
  const { zone } = useZone()
  const now = Date.parse(storage.now)
  const lanes = useMemo(() => lanesOf(storage.datasets), [storage.datasets])
  const { choice, choose, view, show } = useChoice(lanes)
  const tableNames = useMemo(() => storage.datasets.map(({ name }) => name), [storage.datasets])
  const [act, setAct] = useState<Act | null>(null)
  const whole = useMemo(() => wholeSpan(lanes, now), [lanes, now])
  const dataset =
    lanes.find((lane) => lane.dataset.name === choice?.dataset)?.dataset ??
    lanes.find((lane) => lane.dataset.chunks.length > 0)?.dataset ??
    null
  const chunks = useMemo(() => {
    if (choice === null || dataset === null) return []
    const { first, last } = chosen(choice)
    return dataset.chunks.slice(first, last + 1)
  }, [dataset, choice])
  useCommands(
    acts.map((one) => ({
      id: `storage.${one}`,
      title: `${actNames[one]} the chosen chunks`,
      keys: actKeys[one],
      run: () => {
        if (planAct(one, chunks, dataset?.ratio ?? null, now).chunks.length > 0) setAct(one)
      },
    })),
  )
  if (lanes.length === 0 || whole === null || dataset === null)
    return <NothingYet hasTables={lanes.length > 0} />
  const ids = new Set(chunks.map(({ id }) => id))
  const plan = act === null ? null : planAct(act, chunks, dataset.ratio, now)
  const mine = operations.filter(({ kind }) => kind !== 'refresh')
  return (
    <div className={styles['page']}>
      <Totals storage={storage} />
      {lanes
        .filter((lane) => lane.dataset.defaultPartitionHasRows)
        .map((lane) => (
          <p key={lane.dataset.name} className={styles['note']}>
            {lane.dataset.name} has rows outside of every chunk, which plain SQL wrote. They are counted, and
            a worker puts them into chunks: see that "tidemark worker" runs.
          </p>
        ))}
      <LanesCard
        lanes={lanes}
        whole={whole}
        view={view ?? homeSpan(lanes, whole)}
        choice={choice}
        zone={zone}
        now={now}
        onChoose={choose}
        onView={show}
      />
      <div className={styles['columns']}>
        <ChosenCard
          dataset={choice === null ? null : dataset}
          chunks={chunks}
          operations={mine}
          zone={zone}
          now={now}
          onAct={setAct}
        />
        <Card title="Operations">
          <OperationsList
            operations={mine}
            empty="What you freeze, thaw, compact or verify is shown here with its progress, and stays until the server is started anew."
            onCancel={onCancel}
            onAgain={({ kind, dataset: of, chunks: named, from, to }) =>
              onBegin(
                {
                  kind,
                  ...(of === null ? {} : { dataset: of }),
                  ...(named === null ? {} : { chunks: named }),
                  ...(from === null ? {} : { from }),
                  ...(to === null ? {} : { to }),
                },
                'It is tried again.',
              )
            }
          />
        </Card>
      </div>
      <Card title={`Chunks of ${dataset.name}`}>
        <RangeForm key={dataset.name} dataset={dataset} onChoose={choose} />
        <ChunkTable
          dataset={dataset}
          zone={zone}
          now={now}
          isChosen={({ id }) => ids.has(id)}
          onChoose={({ id }) => {
            const at = dataset.chunks.findIndex((chunk) => chunk.id === id)
            choose({ dataset: dataset.name, anchor: at, at })
          }}
        />
      </Card>
      <PlainTables datasets={storage.datasets} />
      <GrowthCard datasets={tableNames} zone={zone} now={now} />
      {plan !== null && plan.chunks.length > 0 && (
        <ActDialog
          plan={plan}
          dataset={dataset}
          freeBytes={storage.lake.freeBytes}
          zone={zone}
          onClose={() => setAct(null)}
          onConfirm={() => {
            setAct(null)
            onBegin(
              requestOf(plan, dataset.name),
              `${actNames[plan.act]}: begun. Its progress is under Operations.`,
            )
          }}
        />
      )}
    </div>
  )
}

function NothingYet({ hasTables }: { readonly hasTables: boolean }): ReactNode {
  if (hasTables)
    return (
      <Empty title="No chunk yet" command="tidemark import metrics.requests rows.csv">
        A chunk is made by the first row of its time. Write some: with the client, over HTTP, or from a file.
      </Empty>
    )
  return (
    <Empty
      title="No hypertable is declared"
      command={`export const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), model: t.text(), latency_ms: t.float8() },
  time: 'time',
  chunk: '1 day',
  freeze: { after: '7 days' },
  retain: '2 years',
})`}
    >
      A hypertable is a table that is cut into chunks by time. Declare one in tidemark.config.ts, then run
      "tidemark migrate".
    </Empty>
  )
}

function StorageSkeleton(): ReactNode {
  return (
    <div className={styles['page']} aria-hidden="true">
      <Skeleton height={88} />
      <Skeleton height={300} />
      <Skeleton height={420} />
    </div>
  )
}
