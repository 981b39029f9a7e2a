import { type ReactNode, useEffect, useState } from 'react'
import type { DeadLetter, DeadLetterPage } from 'tidemark/client'
import { formatNumber } from '../../format/index.ts'
import { Button, Select, TextField } from '../../ui/index.ts'
import { useSettled } from '../operate/index.ts'
import styles from './dead-letters.module.css'

type Asked = Readonly<Record<'dataset' | 'reason' | 'column' | 'text' | 'state', string>>

const states = [
  { value: '', label: 'Every state' },
  { value: 'refused', label: 'Refused' },
  { value: 'corrected', label: 'Corrected' },
  { value: 'unreadable', label: 'Unreadable' },
]
const maxShown = 8

/** What is asked for, and the groups that match, each of which narrows it. */
export function Filters({
  filter,
  groups,
  letters,
  onChange,
}: {
  readonly filter: Asked
  readonly groups: DeadLetterPage['groups']
  readonly letters: readonly DeadLetter[]
  onChange(change: Partial<Asked>): void
}): ReactNode {
  const [text, setText] = useState(filter.text)
  const settled = useSettled(text.trim())
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what was typed is written
  useEffect(() => {
    if (settled !== filter.text) onChange({ text: settled })
  }, [settled])
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what comes from the URL is read
  useEffect(() => {
    if (filter.text !== text.trim()) setText(filter.text)
  }, [filter.text])
  const seen = useSeen(groups, letters)
  const isFiltered = Object.values(filter).some((value) => value !== '')
  const narrowing = groups.filter(
    ({ dataset, reason, column }) =>
      dataset !== filter.dataset || reason !== filter.reason || (column ?? '') !== filter.column,
  )
  return (
    <>
      <search className={styles['filters']} aria-label="Filter letters">
        <Pick
          label="Dataset"
          every="Every dataset"
          value={filter.dataset}
          known={seen.dataset}
          onChange={(dataset) => onChange({ dataset })}
        />
        <Pick
          label="Reason"
          every="Every reason"
          value={filter.reason}
          known={seen.reason}
          onChange={(reason) => onChange({ reason })}
        />
        <Pick
          label="Column"
          every="Every column"
          value={filter.column}
          known={seen.column}
          onChange={(column) => onChange({ column })}
        />
        <Select
          label="State"
          value={filter.state}
          options={states}
          onChange={(state) => onChange({ state })}
        />
        <TextField label="Text" type="search" value={text} onChange={setText} placeholder="row, message" />
        {isFiltered && (
          <Button
            onClick={() => {
              setText('')
              onChange({ dataset: '', reason: '', column: '', text: '', state: '' })
            }}
          >
            Clear
          </Button>
        )}
      </search>
      {narrowing.length > 0 && groups.length > 1 && (
        <ul className={styles['groups']} aria-label="Groups">
          {narrowing.slice(0, maxShown).map(({ dataset, reason, column, rows }) => (
            <li key={`${dataset} ${reason} ${column}`}>
              <Button small onClick={() => onChange({ dataset, reason, column: column ?? '' })}>
                {dataset} · {reason}
                {column !== null && ` · ${column}`} <strong>{formatNumber(rows)}</strong>
              </Button>
            </li>
          ))}
          {narrowing.length > maxShown && (
            <li className={styles['quiet']}>and {narrowing.length - maxShown} more</li>
          )}
        </ul>
      )}
    </>
  )
}

function Pick({
  label,
  every,
  value,
  known,
  onChange,
}: {
  readonly label: string
  readonly every: string
  readonly value: string
  readonly known: readonly string[]
  onChange(value: string): void
}): ReactNode {
  const all = [...new Set([...known, ...(value === '' ? [] : [value])])].sort()
  return (
    <Select
      label={label}
      value={value}
      options={[{ value: '', label: every }, ...all.map((each) => ({ value: each, label: each }))]}
      onChange={onChange}
    />
  )
}

/** Every name that was seen since the page was opened: one that a filter has excluded can be chosen again. */
function useSeen(
  groups: DeadLetterPage['groups'],
  letters: readonly DeadLetter[],
): Readonly<Record<'dataset' | 'reason' | 'column', readonly string[]>> {
  const [seen] = useState({
    dataset: new Set<string>(),
    reason: new Set<string>(),
    column: new Set<string>(),
  })
  for (const { dataset, reason, column } of [...groups, ...letters]) {
    seen.dataset.add(dataset)
    seen.reason.add(reason)
    if (column !== null) seen.column.add(column)
  }
  return { dataset: [...seen.dataset], reason: [...seen.reason], column: [...seen.column] }
}
