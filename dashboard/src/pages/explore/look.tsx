import type { ReactNode } from 'react'
import type { DatasetInfo } from 'tidemark/client'
import { Combobox, Select, Tabs } from '../../ui/index.ts'
import { columnsFor, plainAggregate, withFunction } from './aggregates.ts'
import styles from './explore.module.css'
import type { ExploreState, Fill } from './state.ts'

export interface LookProps {
  readonly info: DatasetInfo
  readonly state: ExploreState
  /** What `auto` has come to. */
  readonly bucket: string | null
  update(change: Partial<ExploreState>): void
}

const buckets = [
  '1 second',
  '10 seconds',
  '1 minute',
  '5 minutes',
  '15 minutes',
  '1 hour',
  '6 hours',
  '1 day',
  '1 week',
  '1 month',
  '1 year',
]

const comparisons = [
  { value: '', label: 'Nothing' },
  { value: 'previous', label: 'Period before' },
  { value: '1 day', label: 'Day earlier' },
  { value: '1 week', label: 'Week earlier' },
  { value: '1 month', label: 'Month earlier' },
  { value: '1 year', label: 'Year earlier' },
]

const gaps: readonly { readonly value: Fill; readonly label: string }[] = [
  { value: 'none', label: 'Left empty' },
  { value: 'zero', label: 'Zero' },
  { value: 'previous', label: 'As before' },
  { value: 'linear', label: 'A line across' },
]

const units = ['bytes', 'ms', 's', 'percent', 'perSecond', 'USD', 'EUR']

/** How it is shown. */
export function Look({ info, state, bucket, update }: LookProps): ReactNode {
  const isTimed = info.time !== null
  const has = (fn: string): boolean => state.select.some((aggregate) => aggregate.fn === fn)
  const canHeat = isTimed && columnsFor(info, 'histogram').some(({ type }) => type !== 'jsonb')
  const hasGaps =
    state.bucket !== 'none' && (state.chart === 'line' || state.chart === 'bar' || state.chart === 'stacked')
  const isKnown = state.compare === null || comparisons.some(({ value }) => value === state.compare)
  return (
    <div className={styles['look']}>
      <Tabs
        label="Shown as"
        value={state.chart}
        tabs={[
          ...(isTimed
            ? ([
                { value: 'line', label: 'Line' },
                { value: 'bar', label: 'Bars' },
                { value: 'stacked', label: 'Stacked' },
              ] as const)
            : ([{ value: 'bar', label: 'Bars' }] as const)),
          ...(canHeat && (info.kind !== 'aggregate' || has('histogram'))
            ? ([{ value: 'heatmap', label: 'Heat map' }] as const)
            : []),
          { value: 'table', label: 'Table' },
          { value: 'number', label: 'Number' },
        ]}
        onChange={(chart) =>
          update({
            chart,
            ...(chart === 'heatmap' && !has('histogram')
              ? { select: [...state.select, withFunction(info, plainAggregate, 'histogram')] }
              : {}),
          })
        }
      />
      {isTimed && (
        <Combobox
          label="Bucket"
          value={state.bucket ?? ''}
          placeholder={bucket === null || state.bucket !== null ? 'Auto' : `Auto: ${bucket}`}
          allowOther
          options={[
            { value: '', label: 'Auto', hint: 'by the width of the chart' },
            { value: 'none', label: 'None', hint: 'the range is one piece' },
            ...buckets.map((text) => ({ value: text, label: text })),
          ]}
          onChange={(text) => update({ bucket: text === '' ? null : text })}
        />
      )}
      {isTimed && (
        <Select
          label="Compare with"
          value={state.compare ?? ''}
          options={
            isKnown
              ? comparisons
              : [...comparisons, { value: state.compare ?? '', label: `${state.compare} earlier` }]
          }
          onChange={(compare) => update({ compare: compare === '' ? null : compare })}
        />
      )}
      {isTimed && hasGaps && (
        <Select label="Gaps" value={state.fill} options={gaps} onChange={(fill) => update({ fill })} />
      )}
      <Combobox
        label="Unit"
        value={state.unit ?? ''}
        placeholder="None"
        allowOther
        options={[{ value: '', label: 'None' }, ...units.map((unit) => ({ value: unit, label: unit }))]}
        onChange={(unit) => update({ unit: unit === '' ? null : unit })}
      />
    </div>
  )
}
