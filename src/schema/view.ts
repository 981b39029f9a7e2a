import type { ColumnDefinition } from './definition.ts'
import type { Columns, QualifiedNameOf } from './infer.ts'
import { checkKeys } from './problems.ts'
import { readColumns, readComment, readName, startProblems } from './relation.ts'

/** A plain SQL view. It has no rows of its own, so it is no dataset: migrate makes it after the tables. */
export interface ViewDefinition {
  readonly kind: 'view'
  readonly name: string
  readonly schema: string
  readonly table: string
  /** The SELECT, without a semicolon. */
  readonly sql: string
  /** What it yields, when declared; for the types of SQL that reads it. */
  readonly columns: Readonly<Record<string, ColumnDefinition>> | null
  readonly comment: string | null
}

declare const viewShape: unique symbol
export interface View<Name extends string, C extends Columns> extends ViewDefinition {
  readonly name: Name
  readonly [viewShape]?: C
}
export type ViewColumnsOf<V> = V extends { readonly [viewShape]?: infer C } ? NonNullable<C> : never

export interface ViewOptions<C extends Columns> {
  /** What the view yields. Only for types: the database decides. */
  readonly columns?: C
  readonly comment?: string
}

/**
 * Declares a view over declared tables, in plain SQL. Over a hypertable it sees hot rows, as all bare SQL does.
 *
 * @example
 * import { view } from 'tidemark/schema'
 * const recent = view('analytics.recent', `select * from metrics.cpu where time > now() - interval '1 hour'`)
 * @throws TidemarkError TM_DECLARATION
 */
export function view<const Name extends string, const C extends Columns = Record<never, never>>(
  name: Name,
  sql: string,
  options: ViewOptions<C> = {},
): View<QualifiedNameOf<Name>, C> {
  const problems = startProblems('view', name)
  checkKeys(problems, '', options, ['columns', 'comment'])
  const qualified = readName(problems, name)
  const text = typeof sql === 'string' ? sql.trim().replace(/;\s*$/, '').trim() : ''
  if (text === '') problems.add('.sql', 'must be a SELECT')
  else if (
    !/^(select|with|values|table|\()/i.test(text.replace(/^(\s*--[^\n]*\n|\s*\/\*[\s\S]*?\*\/)*\s*/, ''))
  ) {
    problems.add('.sql', 'must begin with select, with or values; "create view" is added by migrate')
  } else if (text.includes('\0')) problems.add('.sql', 'must not hold a NUL character')
  const columns = options?.columns === undefined ? null : readColumns(problems, options.columns)
  const comment = readComment(problems, '.comment', options?.comment)
  problems.assertEmpty('TM_DECLARATION')
  return Object.freeze({ kind: 'view', ...qualified, sql: text, columns, comment }) as View<
    QualifiedNameOf<Name>,
    C
  >
}
