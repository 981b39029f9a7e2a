import { type KeyboardEvent, type ReactNode, useEffect, useState } from 'react'
import type { ColumnInfo } from 'tidemark/client'
import { Combobox, type ComboboxOption, TextField } from '../../ui/index.ts'
import type { PathInfo } from './use-explore.ts'

/** A field that says what it holds by Enter or when it is left, not with every key. */
export function LateField({
  label,
  value,
  hint,
  parse,
  onValue,
}: {
  readonly label: string
  readonly value: string
  readonly hint?: string
  /** What is wrong with it, in words; null: nothing. */
  parse(text: string): string | null
  onValue(text: string): void
}): ReactNode {
  const [text, setText] = useState(value)
  useEffect(() => setText(value), [value])
  const problem = parse(text)
  const tell = (): void => {
    if (problem === null && text !== value) onValue(text)
  }
  return (
    <TextField
      label={label}
      value={text}
      onChange={setText}
      {...(problem === null ? (hint === undefined ? {} : { hint }) : { error: problem })}
      onBlur={tell}
      onKeyDown={(event: KeyboardEvent) => {
        if (event.key === 'Enter') {
          event.preventDefault()
          tell()
        }
      }}
    />
  )
}

/** Columns, and places inside of jsonb columns; others can be typed. */
export function columnOptions(
  columns: readonly ColumnInfo[],
  paths: readonly PathInfo[],
): readonly ComboboxOption[] {
  return [
    ...columns
      .filter(({ type }) => type !== 'jsonb')
      .map(({ name, type, comment }) => ({
        value: name,
        label: name,
        hint: comment === null ? type : `${type} · ${comment}`,
      })),
    ...paths
      .filter(({ path }) => columns.some(({ name, type }) => type === 'jsonb' && path.startsWith(`${name}.`)))
      .map(({ path, type }) => ({ value: path, label: path, hint: `JSON, ${type}` })),
  ]
}

export function ColumnBox({
  label,
  columns,
  paths,
  value,
  onChange,
  placeholder,
}: {
  readonly label: string
  readonly columns: readonly ColumnInfo[]
  readonly paths: readonly PathInfo[]
  readonly value: string
  readonly placeholder?: string
  onChange(column: string): void
}): ReactNode {
  const hasJson = columns.some(({ type }) => type === 'jsonb')
  return (
    <Combobox
      label={label}
      value={value}
      options={columnOptions(columns, paths)}
      onChange={onChange}
      allowOther={hasJson}
      placeholder={placeholder ?? (hasJson ? 'Column, or path in JSON' : 'Column')}
    />
  )
}
