import type { ColumnRef } from '../query/index.ts'
import type { ColumnDefinition, ColumnType, HypertableDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { ColumnLayout, FileLayout, LakeFile, ShreddedPath } from './contract.ts'

/** How the declared columns lie in some files, the same in all of them as far as a request looks at them. */
export interface FileScope {
  readonly dataset: HypertableDefinition
  readonly layout: FileLayout
}

/** Null: the files were written before the column was added, and it is null in all of their rows. */
export function layoutOf(scope: FileScope, column: string): FileLayout['columns'][string] | null {
  return Object.hasOwn(scope.layout.columns, column) ? (scope.layout.columns[column] ?? null) : null
}

export function columnOf(scope: FileScope, name: string): ColumnDefinition {
  const { columns } = scope.dataset
  const column = Object.hasOwn(columns, name) ? columns[name] : undefined
  if (column) return column
  throw new TidemarkError('TM_QUERY', {
    path: name,
    problem: `${scope.dataset.name} has no such column`,
  })
}

/** The declared type of the column. @throws TidemarkError TM_QUERY when there is none, or it has no paths inside. */
export function typeOf(scope: FileScope, ref: ColumnRef): ColumnType {
  const { type } = columnOf(scope, ref.column)
  if (type === 'jsonb' || ref.path.length === 0) return type
  throw new TidemarkError('TM_QUERY', {
    path: [ref.column, ...ref.path].join('.'),
    problem: `${ref.column} is ${type} and has no paths inside`,
  })
}

/** Where a path of a jsonb column lies in a file. */
export interface JsonPlaces {
  /** The column with what no other has. */
  readonly rest: string
  readonly path: readonly string[]
  /** Columns of exactly this path. */
  readonly text: string | null
  readonly number: string | null
  readonly bool: string | null
  /** Columns of paths inside of it: where one has a value, an object or array is here. */
  readonly inside: readonly ShreddedPath[]
}

export function jsonPlaces(
  layout: ColumnLayout & { readonly kind: 'json' },
  path: readonly string[],
): JsonPlaces {
  const exact = (type: ShreddedPath['type']): string | null =>
    layout.shredded.find((one) => one.type === type && isSame(one.path, path))?.column ?? null
  return {
    rest: layout.rest,
    path,
    text: exact('text'),
    number: exact('float8'),
    bool: exact('bool'),
    inside: layout.shredded.filter(
      (one) => one.path.length > path.length && isSame(one.path.slice(0, path.length), path),
    ),
  }
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((key, i) => key === b[i])
}

/** Files that one statement can read: the columns that are asked for lie in the same way in all of them. */
export interface FileGroup extends FileScope {
  readonly files: readonly LakeFile[]
}

/** @param columns Declared columns that are looked at. */
export function groupByLayout(
  dataset: HypertableDefinition,
  files: readonly LakeFile[],
  columns: Iterable<string>,
): readonly FileGroup[] {
  const names = [...new Set(columns)].sort()
  const groups = new Map<string, LakeFile[]>()
  for (const file of files) {
    const signature = signatureOf(file.layout, names)
    const group = groups.get(signature)
    if (group) group.push(file)
    else groups.set(signature, [file])
  }
  return [...groups.values()].map((group) => ({ dataset, layout: group[0]!.layout, files: group }))
}

const signatures = new WeakMap<FileLayout, Map<string, string>>()

function signatureOf(layout: FileLayout, names: readonly string[]): string {
  const key = names.join('\0')
  const known = signatures.get(layout) ?? new Map<string, string>()
  signatures.set(layout, known)
  let signature = known.get(key)
  if (signature === undefined) {
    signature = JSON.stringify(names.map((name) => layout.columns[name] ?? null))
    if (known.size >= maxSignatures) known.clear()
    known.set(key, signature)
  }
  return signature
}

/** Sets of columns that are remembered for each layout. */
const maxSignatures = 100
