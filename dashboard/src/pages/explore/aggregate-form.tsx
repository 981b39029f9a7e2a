import type { ReactNode } from 'react'
import type { DatasetInfo } from 'tidemark/client'
import type { RangeText } from '../../chart/index.ts'
import { Button, Checkbox, Menu, Select } from '../../ui/index.ts'
import {
  type Aggregate,
  aggregateText,
  bySeries,
  columnsFor,
  type Fn,
  functionInfo,
  functionsOf,
  groupColumns,
  plainAggregate,
  withFunction,
} from './aggregates.ts'
import styles from './explore.module.css'
import { ColumnBox, LateField } from './fields.tsx'
import { Filters } from './filter-form.tsx'
import { Pop } from './pop.tsx'
import type { PathInfo } from './use-explore.ts'

export interface AggregatesProps {
  readonly info: DatasetInfo
  readonly paths: readonly PathInfo[]
  readonly range: RangeText
  readonly aggregates: readonly Aggregate[]
  onAggregates(aggregates: readonly Aggregate[]): void
}

/** What is computed. */
export function Aggregates({ info, aggregates, onAggregates, ...rest }: AggregatesProps): ReactNode {
  const outputs = info.kind === 'aggregate' ? columnsFor(info, 'output') : []
  const add = (aggregate: Aggregate): void => onAggregates([...aggregates, aggregate])
  return (
    <ul className={styles['chips']}>
      {aggregates.map((aggregate, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: an aggregate is its place
        <li key={at}>
          <Pop
            label={aggregateText(aggregate)}
            title="Aggregate"
            name={`Aggregate: ${aggregateText(aggregate)}`}
          >
            {(close) => (
              <AggregateForm
                {...rest}
                info={info}
                aggregate={aggregate}
                onAggregate={(next) => onAggregates(aggregates.with(at, next))}
                onRemove={() => {
                  close()
                  onAggregates(aggregates.filter((_, i) => i !== at))
                }}
              />
            )}
          </Pop>
        </li>
      ))}
      <li>
        <Menu
          label="Add"
          kind="quiet"
          items={[
            ...outputs.map(({ name, type }) => ({
              label: name,
              note: `kept, ${type}`,
              run: () => add({ ...plainAggregate, fn: 'output' as Fn, column: name }),
            })),
            ...functionsOf(info)
              .filter((fn) => fn !== 'output')
              .map((fn) => ({
                label: functionInfo[fn].label,
                note: functionInfo[fn].about,
                run: () => add(withFunction(info, plainAggregate, fn)),
              })),
          ]}
        />
      </li>
    </ul>
  )
}

function numbersProblem(text: string, check: (all: readonly number[]) => string | null): string | null {
  const all = numbersOf(text)
  return all === null ? 'numbers with commas between them' : check(all)
}

function numbersOf(text: string): readonly number[] | null {
  const all = text
    .split(/[,\s]+/)
    .filter((one) => one !== '')
    .map(Number)
  return all.length > 0 && all.every(Number.isFinite) ? all : null
}

const ascending = (all: readonly number[]): string | null =>
  all.every((one, i) => i === 0 || one > (all[i - 1] as number))
    ? null
    : 'each has to be greater than the one before'

const shares = (all: readonly number[]): string | null =>
  all.every((one) => one >= 0 && one <= 100) ? null : 'from 0 to 100'

const percent = (q: number): string => String(Number((q * 100).toPrecision(12)))

function AggregateForm({
  info,
  paths,
  range,
  aggregate,
  onAggregate,
  onRemove,
}: Omit<AggregatesProps, 'aggregates' | 'onAggregates'> & {
  readonly aggregate: Aggregate
  onAggregate(aggregate: Aggregate): void
  onRemove(): void
}): ReactNode {
  const { fn, column, where } = aggregate
  const change = (part: Partial<Aggregate>): void => onAggregate({ ...aggregate, ...part })
  const tells = groupColumns(info).filter(({ type }) => type !== 'jsonb' && type !== 'text[]')
  return (
    <div className={styles['form']}>
      <Select
        label="Function"
        value={fn}
        data-first
        options={functionsOf(info).map((one) => ({
          value: one,
          label: `${functionInfo[one].label}: ${functionInfo[one].about}`,
        }))}
        onChange={(next) => onAggregate(withFunction(info, aggregate, next))}
      />
      {fn === 'count' ? (
        <Checkbox
          label="Only rows where a column has a value"
          checked={column !== null}
          onChange={(isOn) =>
            change({
              column: isOn
                ? (info.columns.find(({ nullable }) => nullable)?.name ?? info.columns[0]?.name ?? null)
                : null,
            })
          }
        />
      ) : null}
      {(fn !== 'count' || column !== null) && (
        <ColumnBox
          label="Column"
          columns={columnsFor(info, fn)}
          paths={paths}
          value={column ?? ''}
          onChange={(next) => change({ column: next, borders: next === column ? aggregate.borders : [] })}
        />
      )}
      {fn === 'percentile' && (
        <LateField
          label="Percentile"
          value={percent(aggregate.q)}
          hint="50 is the median"
          parse={(text) => numbersProblem(text, (all) => (all.length === 1 ? shares(all) : 'one number'))}
          onValue={(text) => change({ q: (numbersOf(text)?.[0] ?? 50) / 100 })}
        />
      )}
      {fn === 'percentiles' && (
        <LateField
          label="Percentiles"
          value={aggregate.qs.map(percent).join(', ')}
          parse={(text) => numbersProblem(text, shares)}
          onValue={(text) => change({ qs: (numbersOf(text) ?? []).map((one) => one / 100) })}
        />
      )}
      {fn === 'topK' && (
        <LateField
          label="How many"
          value={String(aggregate.k)}
          parse={(text) =>
            /^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= 1000 ? null : 'from 1 to 1,000'
          }
          onValue={(text) => change({ k: Number(text) })}
        />
      )}
      {fn === 'histogram' && (
        <>
          <LateField
            label="Borders"
            value={aggregate.borders.join(', ')}
            hint="Ascending; values between two are counted together"
            parse={(text) => (text.trim() === '' ? null : numbersProblem(text, ascending))}
            onValue={(text) => change({ borders: numbersOf(text) ?? [] })}
          />
          <Button small onClick={() => change({ borders: [] })}>
            Fit to the values in this range
          </Button>
        </>
      )}
      {fn === 'timeWeightedAvg' && (
        <Select
          label="Between two readings"
          value={aggregate.method}
          options={[
            { value: 'locf', label: 'the earlier one holds' },
            { value: 'linear', label: 'a straight line' },
          ]}
          onChange={(method) => change({ method })}
        />
      )}
      {bySeries.has(fn) && info.kind !== 'aggregate' && (
        <SeriesBox
          columns={tells.map(({ name }) => name)}
          value={aggregate.series}
          onChange={(series) => change({ series })}
        />
      )}
      {fn !== 'output' && info.kind !== 'aggregate' && (
        <div className={styles['only']}>
          <span className={styles['label']}>Only rows where</span>
          <Filters
            info={info}
            paths={paths}
            range={range}
            filters={where}
            onFilters={(next) => change({ where: next })}
          />
        </div>
      )}
      <LateField
        label="Name"
        value={aggregate.name ?? ''}
        hint="In the legend and in the answer; empty: one is made"
        parse={(text) =>
          text === '' || /^[\p{L}_$][\p{L}\p{N}_$ .%/()-]{0,62}$/u.test(text)
            ? null
            : 'begins with a letter; letters, digits, spaces and _ $ . % / ( ) -'
        }
        onValue={(text) => change({ name: text === '' ? null : text })}
      />
      <div className={styles['formEnd']}>
        <Button kind="quiet" icon="trash" onClick={onRemove}>
          Remove
        </Button>
      </div>
    </div>
  )
}

function SeriesBox({
  columns,
  value,
  onChange,
}: {
  readonly columns: readonly string[]
  readonly value: readonly string[] | null
  onChange(series: readonly string[] | null): void
}): ReactNode {
  return (
    <fieldset className={styles['series']}>
      <legend className={styles['label']}>Columns that tell series apart</legend>
      <Checkbox
        label="As the table is declared"
        checked={value === null}
        onChange={(isOn) => onChange(isOn ? null : [])}
      />
      {value !== null &&
        columns.map((name) => (
          <Checkbox
            key={name}
            label={name}
            checked={value.includes(name)}
            onChange={(isOn) => onChange(isOn ? [...value, name] : value.filter((one) => one !== name))}
          />
        ))}
    </fieldset>
  )
}
