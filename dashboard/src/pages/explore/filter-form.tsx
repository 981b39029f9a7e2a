import { type ReactNode, useId, useState } from 'react'
import type { DatasetInfo } from 'tidemark/client'
import type { RangeText } from '../../chart/index.ts'
import { Button, Field, Select } from '../../ui/index.ts'
import { filterColumns } from './aggregates.ts'
import styles from './explore.module.css'
import { ColumnBox } from './fields.tsx'
import {
  type Filter,
  filterText,
  isComplete,
  joinList,
  operatorsFor,
  operatorWords,
  splitList,
  takesList,
  takesValue,
  typeOf,
} from './filters.ts'
import { Pop } from './pop.tsx'
import { type PathInfo, useValues } from './use-explore.ts'

export interface FiltersProps {
  readonly info: DatasetInfo
  readonly paths: readonly PathInfo[]
  readonly range: RangeText
  readonly filters: readonly Filter[]
  onFilters(filters: readonly Filter[]): void
}

/** Conditions, all of which must hold. */
export function Filters({ filters, onFilters, ...rest }: FiltersProps): ReactNode {
  return (
    <ul className={styles['chips']}>
      {filters.map((filter, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a condition is its place
        <li key={at}>
          <Pop label={filterText(filter)} title="Condition">
            {(close) => (
              <FilterForm
                {...rest}
                filter={filter}
                onFilter={(next) => {
                  close()
                  onFilters(filters.with(at, next))
                }}
                onRemove={() => {
                  close()
                  onFilters(filters.filter((_, i) => i !== at))
                }}
              />
            )}
          </Pop>
        </li>
      ))}
      <li>
        <Pop
          label={filters.length === 0 ? 'Every row' : 'Add'}
          title="New condition"
          icon={filters.length === 0 ? 'filter' : 'plus'}
          kind="quiet"
          name={filters.length === 0 ? 'Every row: add a condition' : 'Add a condition'}
        >
          {(close) => (
            <FilterForm
              {...rest}
              filter={{ column: '', op: 'eq', values: [] }}
              onFilter={(next) => {
                close()
                onFilters([...filters, next])
              }}
            />
          )}
        </Pop>
      </li>
    </ul>
  )
}

function FilterForm({
  info,
  paths,
  range,
  filter,
  onFilter,
  onRemove,
}: Omit<FiltersProps, 'filters' | 'onFilters'> & {
  readonly filter: Filter
  onFilter(filter: Filter): void
  onRemove?(): void
}): ReactNode {
  const [draft, setDraft] = useState(filter)
  const [text, setText] = useState(takesList(filter.op) ? joinList(filter.values) : (filter.values[0] ?? ''))
  const list = useId()
  const known = typeOf(info, draft.column)
  const type = known ?? 'text'
  const operators = operatorsFor(type)
  const values = useValues(
    info,
    draft.column,
    range,
    takesValue(draft.op) && known !== null && type !== 'text[]' && type !== 'jsonb',
  )
  const said: Filter = {
    ...draft,
    values: !takesValue(draft.op) ? [] : takesList(draft.op) ? splitList(text) : text === '' ? [] : [text],
  }
  const column = draft.column === '' || known !== null ? null : `${info.name} has no such column`
  return (
    <form
      className={styles['form']}
      onSubmit={(event) => {
        event.preventDefault()
        if (isComplete(said) && column === null) onFilter(said)
      }}
    >
      <ColumnBox
        label="Column"
        columns={filterColumns(info)}
        paths={paths}
        value={draft.column}
        onChange={(next) => {
          const allowed = operatorsFor(typeOf(info, next) ?? 'text')
          setDraft({
            ...draft,
            column: next,
            op: allowed.includes(draft.op) ? draft.op : (allowed[0] ?? 'eq'),
          })
        }}
      />
      {column && <p role="alert">{column}</p>}
      <Select
        label="Condition"
        value={draft.op}
        options={operators.map((op) => ({ value: op, label: operatorWords[op] }))}
        onChange={(op) => setDraft({ ...draft, op })}
      />
      {takesValue(draft.op) && (
        <Field label={takesList(draft.op) ? 'Values' : 'Value'} hint={hintOf(type, draft.op)}>
          {(ids) => (
            <>
              <input
                {...ids}
                className={styles['input']}
                list={list}
                value={text}
                autoComplete="off"
                spellCheck={false}
                onChange={(event) => setText(event.target.value)}
              />
              <datalist id={list}>
                {values.map((value) => (
                  <option key={value} value={value} />
                ))}
              </datalist>
            </>
          )}
        </Field>
      )}
      {takesValue(draft.op) && values.length > 0 && (
        <fieldset className={styles['values']} aria-label="Most frequent values">
          {values.slice(0, 8).map((value) => (
            <Button
              key={value}
              small
              kind="quiet"
              onClick={() =>
                takesList(draft.op)
                  ? setText(joinList([...new Set([...splitList(text), value])]))
                  : onFilter({ ...draft, values: [value] })
              }
            >
              {value === '' ? '(empty)' : value}
            </Button>
          ))}
        </fieldset>
      )}
      <div className={styles['formEnd']}>
        <Button type="submit" kind="primary" aria-disabled={!isComplete(said) || column !== null}>
          {onRemove ? 'Change' : 'Add'}
        </Button>
        {onRemove && (
          <Button kind="quiet" icon="trash" onClick={onRemove}>
            Remove
          </Button>
        )}
      </div>
    </form>
  )
}

function hintOf(type: string, op: Filter['op']): string | undefined {
  if (takesList(op)) return 'Commas between them; a backslash before a comma that belongs to a value'
  if (op === 'like' || op === 'ilike') return '% is any text, _ one character'
  if (type === 'timestamptz') return '2026-01-31T12:00:00Z'
  if (type === 'bool') return 'true or false'
  return type === 'json' ? '7 is a number, "7" in quotes is text' : undefined
}
