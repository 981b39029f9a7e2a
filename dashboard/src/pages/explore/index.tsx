import { type ReactNode, useEffect, useMemo, useRef } from 'react'
import type { DatasetInfo } from 'tidemark/client'
import { useDatasets } from '../../api/index.ts'
import {
  AnswerTable,
  absolute,
  moved,
  type PanelAnswer,
  PanelBody,
  PlanDetails,
  PlanStrip,
  roughMs,
  usePanelAnswer,
  useSize,
  widened,
} from '../../chart/index.ts'
import { formatNumber } from '../../format/index.ts'
import { useCommands, useZone } from '../../shell/index.ts'
import { Button, Card, Combobox, Empty, ErrorBox, PageHeader, Query, Skeleton } from '../../ui/index.ts'
import { isAskable } from './aggregates.ts'
import { Builder } from './builder.tsx'
import { Disclosure } from './disclosure.tsx'
import styles from './explore.module.css'
import { Look } from './look.tsx'
import { toPanel } from './panel-of.ts'
import { RangePicker } from './range-picker.tsx'
import { charts, type ExploreState } from './state.ts'
import { NoRows, Status } from './status.tsx'
import { TakeAway } from './take-away.tsx'
import { ToBoard } from './to-board.tsx'
import { TooMany } from './too-many.tsx'
import {
  firstDataset,
  firstLook,
  hasRows,
  useBorders,
  useBounds,
  useExploreState,
  usePaths,
} from './use-explore.ts'

const chartHeight = 380

/** Ask anything of a dataset, and see where the answer came from. */
export function Page(): ReactNode {
  const datasets = useDatasets()
  return (
    <Query
      result={datasets}
      skeleton={
        <>
          <PageHeader title="Explore" />
          <Skeleton height={chartHeight + 320} />
        </>
      }
    >
      {(all) => (all.length === 0 ? <NoDatasets /> : <Explore datasets={all} />)}
    </Query>
  )
}

function NoDatasets(): ReactNode {
  return (
    <>
      <PageHeader title="Explore" />
      <Card>
        <Empty title="There is no dataset yet" command="npx tidemark init && npx tidemark migrate">
          Declare a hypertable in tidemark.config.ts, migrate, and what you write to it can be looked at here.
        </Empty>
      </Card>
    </>
  )
}

type Update = (change: Partial<ExploreState>, options?: { readonly replace?: boolean }) => void

function Explore({ datasets }: { readonly datasets: readonly DatasetInfo[] }): ReactNode {
  const { state, update } = useExploreState()
  const info = datasets.find(({ name }) => name === state.dataset)
  const first = state.dataset === null ? firstDataset(datasets) : undefined
  const isBlank = info !== undefined && state.select.length === 0 && state.more === null
  const start = first ?? (isBlank ? info : undefined)
  const bounds = useBounds(start ?? info)
  const isReady = start !== undefined && (start.time === null || bounds !== undefined)
  useEffect(() => {
    if (start === undefined || !isReady) return
    const { from = null, to = null, ...look } = firstLook(start, bounds)
    // a board's range is kept, and one in which there are rows
    const isKept = state.board !== null || (first === undefined && hasRows(state, bounds))
    update({ ...look, ...(isKept ? {} : { from, to }) }, { replace: true })
  }, [start, first, isReady, bounds, state, update])
  const choose = (name: string): void => {
    if (name !== state.dataset) update({ ...cleared, dataset: name })
  }
  return (
    <>
      {state.dataset !== null && info === undefined ? (
        <>
          <PageHeader
            title="Explore"
            actions={<DatasetBox datasets={datasets} value="" onChange={choose} />}
          />
          <Card>
            <Empty title={`There is no dataset “${state.dataset}”`}>
              It may have been renamed or dropped, or your key does not reach it. Choose another one above.
            </Empty>
          </Card>
        </>
      ) : info === undefined || isBlank ? (
        <>
          <PageHeader
            title="Explore"
            actions={<DatasetBox datasets={datasets} value={state.dataset ?? ''} onChange={choose} />}
          />
          <Skeleton height={chartHeight + 260} />
        </>
      ) : (
        <Asked
          key={info.name}
          {...{ info, state, update }}
          newest={bounds?.newest ?? null}
          head={<DatasetBox datasets={datasets} value={info.name} onChange={choose} />}
        />
      )}
    </>
  )
}

/** What does not outlive a change of the dataset. */
const cleared: Partial<ExploreState> = {
  by: [],
  where: [],
  select: [],
  chart: 'line',
  bucket: null,
  fill: 'none',
  unit: null,
  more: null,
  title: null,
  shown: { kind: 'all', keys: [] },
}

function DatasetBox({
  datasets,
  value,
  onChange,
}: {
  readonly datasets: readonly DatasetInfo[]
  readonly value: string
  onChange(name: string): void
}): ReactNode {
  const order = ['hypertable', 'aggregate', 'table']
  const sorted = [...datasets].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
  return (
    <Combobox
      label="Dataset"
      hideLabel
      value={value}
      options={sorted.map(({ name, kind }) => ({
        value: name,
        label: name,
        hint: kind === 'aggregate' ? 'continuous aggregate' : kind,
      }))}
      onChange={onChange}
    />
  )
}

function Asked({
  info,
  state,
  update,
  newest,
  head,
}: {
  readonly info: DatasetInfo
  readonly state: ExploreState
  readonly update: Update
  readonly newest: number | null
  readonly head: ReactNode
}): ReactNode {
  const { zone } = useZone()
  const box = useRef<HTMLDivElement>(null)
  const width = useSize(box)
  const paths = usePaths(info)
  const borders = useBorders(state, info, update)
  const panel = useMemo(() => toPanel(state, info), [state, info])
  const range = { from: state.from, to: state.to }
  const canAsk = state.select.some(isAskable) || state.more !== null
  const result = usePanelAnswer({
    panel,
    range,
    info: width === 0 || !canAsk ? undefined : info,
    width,
    zone,
    isLive: state.isLive,
  })
  const known = knownRange(state, result)
  const zoomTo = (from: number, to: number): void => update({ ...absolute(from, to), isLive: false })
  const step = (share: number): void => {
    if (known) update({ ...moved(known, share), isLive: false })
  }
  const zoomOut = (): void => {
    if (known) update(widened(known, 2))
  }
  useCommands([
    { id: 'explore.refresh', title: 'Ask again', keys: 'r', run: result.refetch },
    {
      id: 'explore.live',
      title: state.isLive ? 'Stop being live' : 'Stay up to date (live)',
      keys: 'l',
      run: () => update({ isLive: !state.isLive }),
    },
    { id: 'explore.out', title: 'Zoom out', keys: 'z', run: zoomOut },
    { id: 'explore.earlier', title: 'Earlier', keys: ',', run: () => step(-0.5) },
    { id: 'explore.later', title: 'Later', keys: '.', run: () => step(0.5) },
    ...charts.map((chart) => ({
      id: `explore.${chart}`,
      title: `Show as ${chart}`,
      run: () => update({ chart }),
    })),
  ])
  const { answer, table, axis } = result
  const hasPlan = answer !== undefined && axis !== null && !result.isOld
  return (
    <>
      <PageHeader
        title="Explore"
        actions={
          <>
            {head}
            <TakeAway result={result} />
            <ToBoard state={state} panel={panel} isDisabled={!canAsk} />
          </>
        }
      />
      <div className={styles['page']}>
        <Builder {...{ info, state, paths, update }} />
        <div className={styles['bar']}>
          {info.time !== null && (
            <RangePicker
              range={range}
              onRange={({ from, to }) => update({ from, to })}
              isKnown={known !== null}
              onStep={step}
              onZoomOut={zoomOut}
            />
          )}
          <Button icon="live" aria-pressed={state.isLive} onClick={() => update({ isLive: !state.isLive })}>
            Live
          </Button>
          <Button icon="refresh" busy={result.isAsking} onClick={result.refetch} title="Ask again (r)">
            Ask again
          </Button>
        </div>
        <Card>
          <Look info={info} state={state} bucket={result.question?.bucket ?? null} update={update} />
          <div ref={box} className={styles['chart']}>
            {borders.error ? (
              <ErrorBox error={borders.error} />
            ) : !canAsk && !borders.isLooking ? (
              <div className={styles['nothing']} style={{ minHeight: chartHeight }}>
                <Empty title="What shall be computed?">
                  Add an aggregate under “Show”: a count, an average, a percentile.
                </Empty>
              </div>
            ) : (
              <PanelBody
                panel={panel}
                result={result}
                zone={zone}
                height={panel.chart === 'number' ? 180 : chartHeight}
                shown={state.shown}
                onShown={(shown) => update({ shown })}
                onZoom={info.time === null ? undefined : zoomTo}
                mostSeries={50}
                empty={<NoRows state={state} newest={newest} update={update} />}
              />
            )}
            <TooMany {...{ info, state, result, update }} />
          </div>
          {hasPlan ? (
            <PlanStrip plan={answer.plan} axis={axis} zone={zone} />
          ) : (
            <div className={styles['stripPlace']} />
          )}
          <Status result={result} />
        </Card>
        {answer && (
          <Disclosure title="Where it came from, and why">
            <PlanDetails plan={answer.plan} />
          </Disclosure>
        )}
        {table && panel.chart !== 'table' && (
          <Disclosure title={`The same as a table (${formatNumber(table.rows.length)} rows)`}>
            <AnswerTable
              table={table}
              zone={zone}
              unit={panel.unit}
              by={result.question?.by ?? []}
              caption={panel.title}
              maxHeight="420px"
            />
          </Disclosure>
        )}
      </div>
    </>
  )
}

/** As it was read; before the first answer as far as the texts say. */
function knownRange(
  state: ExploreState,
  { axis }: PanelAnswer,
): { readonly from: number; readonly to: number } | null {
  if (axis !== null) return axis
  const now = Date.now()
  const from = state.from === null ? null : roughMs(state.from, now)
  const to = state.to === null ? now : roughMs(state.to, now)
  return from === null || to === null ? null : { from, to }
}
