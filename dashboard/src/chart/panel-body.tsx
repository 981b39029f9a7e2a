import { lazy, type ReactNode, Suspense, useEffect, useMemo, useState } from 'react'
import { Empty, ErrorBox, Skeleton } from '../ui/index.ts'
import { AnswerTable } from './answer-table.tsx'
import { binNames, toHeat } from './heat.ts'
import { Legend } from './legend.tsx'
import type { PanelContent } from './panel.ts'
import styles from './panel-body.module.css'
import { nearest, overlay, type SeriesSet, toSeries } from './series.ts'
import type { Shown } from './shown.ts'
import type { PanelAnswer } from './use-panel-answer.ts'
import { BarList, Figures } from './whole.tsx'

export interface PanelBodyProps {
  readonly panel: PanelContent
  readonly result: PanelAnswer
  readonly zone: string
  /** Of the chart itself; the legend comes below. */
  readonly height: number
  readonly shown: Shown
  onShown(shown: Shown): void
  onZoom?: ((from: number, to: number) => void) | undefined
  readonly syncKey?: string | undefined
  /** What is said where there are no rows. */
  readonly empty?: ReactNode
  /** Series that are drawn at most. Default 20. */
  readonly mostSeries?: number
}

const drawing = () => import('./drawing.ts')
const TimeChart = lazy(() => drawing().then((part) => ({ default: part.TimeChart })))
const HeatMap = lazy(() => drawing().then((part) => ({ default: part.HeatMap })))

interface Call {
  readonly fn?: string
  readonly qs?: readonly number[]
  readonly borders?: readonly number[]
}

const defaultQs = [0.5, 0.9, 0.95, 0.99]

/** The calls of a panel's query by their outputs; those of a continuous aggregate are known by name only. */
export function callsOf(panel: PanelContent): Readonly<Record<string, Call>> {
  const { select = {} } = panel.query
  return Object.fromEntries(
    Object.entries(select).map(([name, call]) => [
      name,
      typeof call === 'object' && call !== null ? (call as Call) : {},
    ]),
  )
}

function partsOf(panel: PanelContent): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    Object.entries(callsOf(panel)).flatMap(([name, { fn, qs, borders }]) =>
      fn === 'percentiles'
        ? [[name, (qs ?? defaultQs).map((q) => `p${Number((q * 100).toPrecision(12))}`)] as const]
        : fn === 'histogram' && borders
          ? [[name, binNames(borders)] as const]
          : [],
    ),
  )
}

/** An answer as its panel wants it shown. While the first one is on its way: a skeleton of the same size. */
export function PanelBody(props: PanelBodyProps): ReactNode {
  const { panel, result, zone, height, shown, empty } = props
  const { table, question } = result
  useEffect(() => {
    // fetched beside the answer; a part that cannot be had is told where it is drawn
    drawing().catch(() => {})
  }, [])
  if (result.error && (table === undefined || result.isOld))
    return <ErrorBox error={result.error} retry={result.refetch} />
  if (table === undefined || question === null) return <Skeleton height={height} />
  if (table.rows.length === 0)
    return (
      <div style={{ minHeight: height }} className={styles['empty']}>
        {empty ?? (
          <Empty title="No rows in this range">
            Choose a longer or an earlier range, or fewer conditions.
          </Empty>
        )}
      </div>
    )
  const isWhole = question.bucket === null
  const whole = { table, before: result.before, by: question.by, unit: panel.unit, zone }
  return (
    <div className={styles['body']} data-old={result.isOld || undefined}>
      {panel.chart === 'table' ? (
        <AnswerTable
          table={table}
          zone={zone}
          unit={panel.unit}
          by={question.by}
          caption={panel.title || 'Answer'}
          maxHeight={`${height}px`}
        />
      ) : panel.chart === 'number' ? (
        <div className={styles['whole']} style={{ minHeight: height }}>
          <Figures
            {...whole}
            table={isWhole ? table : newest(table)}
            before={isWhole ? result.before : undefined}
          />
        </div>
      ) : isWhole ? (
        <div className={styles['whole']} style={{ maxHeight: height }}>
          <BarList {...whole} />
        </div>
      ) : panel.chart === 'heatmap' ? (
        <Heat {...props} />
      ) : (
        <Chart {...props} shown={shown} kind={panel.chart} />
      )}
    </div>
  )
}

/** Of an answer with buckets a figure is that of the newest one. */
function newest(table: NonNullable<PanelAnswer['table']>): NonNullable<PanelAnswer['table']> {
  const last = table.rows.reduce(
    (greatest: string, { bucket }) => (typeof bucket === 'string' && bucket > greatest ? bucket : greatest),
    '',
  )
  return { columns: table.columns, rows: table.rows.filter(({ bucket }) => bucket === last) }
}

function Chart({
  panel,
  result,
  zone,
  height,
  shown,
  onShown,
  onZoom,
  syncKey,
  mostSeries = 20,
  kind,
}: PanelBodyProps & { readonly kind: 'line' | 'bar' | 'stacked' }): ReactNode {
  const [pointed, setPointed] = useState<number | null>(null)
  const { table, before, question, shiftMs, axis } = result
  const content = JSON.stringify(panel.query)
  // biome-ignore lint/correctness/useExhaustiveDependencies: `content` stands for the panel's query
  const set = useMemo((): SeriesSet | null => {
    if (table === undefined || question === null) return null
    const options = { by: question.by, bucketMs: question.bucketMs, most: mostSeries, parts: partsOf(panel) }
    const now = toSeries(table, options)
    if (before === undefined || shiftMs === 0) return now
    return {
      ...overlay(now, toSeries(before, options), shiftMs, question.bucketMs),
      left: now.left,
      unfit: now.unfit,
    }
  }, [table, before, question, shiftMs, content, mostSeries])
  if (set === null || axis === null) return <Skeleton height={height} />
  const unfit = set.unfit.map(({ output, type }) => `${output} (${type})`).join(', ')
  if (set.series.length === 0)
    return (
      <div className={styles['empty']} style={{ minHeight: height }}>
        <Empty title="Nothing here is a number">
          {unfit === '' ? 'There are no values.' : `${unfit} can be shown as a table.`}
        </Empty>
      </div>
    )
  return (
    <>
      <Suspense fallback={<Skeleton height={height} />}>
        <TimeChart
          set={set}
          kind={kind}
          axis={axis}
          bucketMs={question?.bucketMs ?? null}
          shown={shown}
          zone={zone}
          unit={panel.unit}
          height={height}
          label={panel.title || 'Chart'}
          syncKey={syncKey}
          shiftMs={shiftMs}
          onZoom={onZoom}
          onPlace={setPointed}
        />
      </Suspense>
      <Legend
        set={set}
        shown={shown}
        at={pointed === null ? null : nearest(set.xs, pointed)}
        unit={panel.unit}
        onShown={onShown}
      />
      {unfit !== '' && <p className={styles['note']}>{unfit}: no numbers, so in the table only.</p>}
    </>
  )
}

function Heat({ panel, result, zone, height, onZoom }: PanelBodyProps): ReactNode {
  const { table, question, axis } = result
  const content = JSON.stringify(panel.query.select)
  // biome-ignore lint/correctness/useExhaustiveDependencies: `content` stands for the panel's query
  const heat = useMemo(() => {
    const found = Object.entries(callsOf(panel)).find(([, { fn }]) => fn === 'histogram')
    return table === undefined || found === undefined ? null : toHeat(table, found[0], found[1].borders ?? [])
  }, [table, content])
  if (heat === null)
    return (
      <div className={styles['empty']} style={{ minHeight: height }}>
        <Empty title="A heat map shows a histogram">
          Add the aggregate Histogram of a column of numbers.
        </Empty>
      </div>
    )
  if (axis === null) return <Skeleton height={height} />
  return (
    <Suspense fallback={<Skeleton height={height} />}>
      <HeatMap
        heat={heat}
        axis={axis}
        bucketMs={question?.bucketMs ?? null}
        zone={zone}
        unit={panel.unit}
        height={height}
        label={panel.title || 'Heat map'}
        onZoom={onZoom}
      />
    </Suspense>
  )
}
