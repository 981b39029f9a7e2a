import type { ReactNode } from 'react'
import type { DatasetInfo } from 'tidemark/client'
import { Button, Combobox } from '../../ui/index.ts'
import { Aggregates } from './aggregate-form.tsx'
import { groupColumns } from './aggregates.ts'
import styles from './explore.module.css'
import { columnOptions } from './fields.tsx'
import { Filters } from './filter-form.tsx'
import type { ExploreState } from './state.ts'
import type { PathInfo } from './use-explore.ts'

export interface BuilderProps {
  readonly info: DatasetInfo
  readonly state: ExploreState
  readonly paths: readonly PathInfo[]
  update(change: Partial<ExploreState>): void
}

/** The question, read from left to right: show what, of which rows, by what. */
export function Builder({ info, state, paths, update }: BuilderProps): ReactNode {
  const range = { from: state.from, to: state.to }
  const groups = groupColumns(info)
  const hasJson = groups.some(({ type }) => type === 'jsonb')
  return (
    <div className={styles['builder']}>
      <div className={styles['part']}>
        <span className={styles['label']} id="explore-show">
          Show
        </span>
        <fieldset className={styles['group']} aria-labelledby="explore-show">
          <Aggregates
            info={info}
            paths={paths}
            range={range}
            aggregates={state.select}
            onAggregates={(select) => {
              const isNew = select.length > state.select.length && select.at(-1)?.fn === 'histogram'
              const isGone = state.chart === 'heatmap' && !select.some(({ fn }) => fn === 'histogram')
              update({
                select,
                ...(isNew ? { chart: 'heatmap' as const } : isGone ? { chart: 'line' as const } : {}),
              })
            }}
          />
        </fieldset>
      </div>
      <div className={styles['part']}>
        <span className={styles['label']} id="explore-where">
          Of rows where
        </span>
        <fieldset className={styles['group']} aria-labelledby="explore-where">
          <Filters
            info={info}
            paths={paths}
            range={range}
            filters={state.where}
            onFilters={(where) => update({ where })}
          />
        </fieldset>
      </div>
      <div className={styles['part']}>
        <Combobox
          multiple
          label="By"
          value={state.by}
          options={columnOptions(groups, paths)}
          allowOther={hasJson}
          placeholder={hasJson ? 'Nothing: a column, or a path in JSON' : 'Nothing: a column'}
          onChange={(by) => update({ by: [...by], shown: { kind: 'all', keys: [] } })}
        />
      </div>
      {state.more !== null && (
        <div className={styles['part']}>
          <span className={styles['label']}>And as it was written</span>
          <div className={styles['more']}>
            <code>{JSON.stringify(state.more)}</code>
            <Button small kind="quiet" onClick={() => update({ more: null })}>
              Remove
            </Button>
          </div>
        </div>
      )}
    </div>
  )
}
