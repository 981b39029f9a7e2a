import type { ColumnType, StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'

/** What to change in a stored row: names first, then what goes, then what is set. */
export interface RowChange {
  /** Old name to new name. */
  readonly rename?: Readonly<Record<string, string>>
  readonly drop?: readonly string[]
  readonly set?: Readonly<Record<string, unknown>>
  /** The whole row, for a letter that holds none: what else is said comes after it. */
  readonly row?: Readonly<Record<string, unknown>>
}

export type StoredRow = Readonly<Record<string, unknown>>

/** An operation of JSON Patch, RFC 6902. */
export interface PatchOperation {
  readonly op: 'add' | 'replace' | 'remove' | 'move'
  readonly path: string
  readonly from?: string
  readonly value?: unknown
}

export interface Patched {
  readonly row: StoredRow
  /** What was done to this row; empty: nothing of it was there. */
  readonly patch: readonly PatchOperation[]
}

const forbidden = ['__proto__', 'constructor', 'prototype']

/** @throws TidemarkError TM_QUERY where it changes nothing, or names what no row may have. */
export function checkChange(change: RowChange): void {
  const { rename = {}, drop = [], set = {}, row } = change
  const names = [...Object.entries(rename).flat(), ...drop, ...Object.keys(set), ...Object.keys(row ?? {})]
  if (names.length === 0) throw problem('say what to change: set, drop, rename, or the row')
  for (const name of names) {
    if (name === '') throw problem('a column has a name')
    if (forbidden.includes(name)) throw problem(`"${name}" is no name of a column`)
  }
}

/**
 * The row after the change. A text: why it cannot be made.
 *
 * @param row null: the letter holds no row that can be read
 */
export function patchRow(row: StoredRow | null, change: RowChange): Patched | string {
  const patch: PatchOperation[] = []
  const base = change.row ?? row
  if (base === null) return 'the letter holds no row; give it whole (row, --row)'
  if (change.row !== undefined) patch.push({ op: row === null ? 'add' : 'replace', path: '', value: base })
  const out = new Map(Object.entries(base))
  for (const [from, to] of Object.entries(change.rename ?? {})) {
    if (!out.has(from) || from === to) continue
    if (out.has(to)) return `the row has "${to}" already; drop one of them first`
    out.set(to, out.get(from))
    out.delete(from)
    patch.push({ op: 'move', from: pointer(from), path: pointer(to) })
  }
  for (const name of change.drop ?? [])
    if (out.delete(name)) patch.push({ op: 'remove', path: pointer(name) })
  for (const [name, value] of Object.entries(change.set ?? {})) {
    patch.push({ op: out.has(name) ? 'replace' : 'add', path: pointer(name), value })
    out.set(name, value)
  }
  return { row: Object.fromEntries(out), patch }
}

/** RFC 6901. */
function pointer(name: string): string {
  return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

const textTypes: readonly ColumnType[] = ['text', 'uuid', 'timestamptz', 'date', 'numeric', 'int8']

/**
 * The value that a text of the command line stands for in a column: `null`, a text where the column takes one, otherwise JSON.
 * A text in quotes is that text, also "null".
 */
export function valueOfText(definition: StoredDefinition | null, column: string, text: string): unknown {
  if (text === 'null') return null
  const type =
    definition !== null && Object.hasOwn(definition.columns, column)
      ? definition.columns[column]!.type
      : 'text'
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return text
  }
  if (typeof value === 'string') return value
  return textTypes.includes(type) ? text : value
}

function problem(text: string): TidemarkError {
  return new TidemarkError('TM_QUERY', { path: 'change', problem: text })
}
