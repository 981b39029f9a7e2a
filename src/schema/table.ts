import type { Columns, KeyNames, NamesOf, QualifiedNameOf, Table, TenantNames } from './infer.ts'
import { checkKeys } from './problems.ts'
import { readRelation, startProblems } from './relation.ts'

/** `name`, or `-name` for descending. */
export type IndexColumn<Name extends string> = Name | `-${Name}`

export type IndexOptions<Name extends string> =
  | readonly IndexColumn<Name>[]
  | {
      readonly columns: readonly IndexColumn<Name>[]
      /** Default false. On a hypertable it must hold the time column. */
      readonly unique?: boolean
      /** Default `btree`. `gin` for jsonb and text[]. */
      readonly method?: 'btree' | 'gin' | 'brin' | 'hash'
      /** SQL condition of a partial index. */
      readonly where?: string
      /** Default: table, columns and `idx` or `key`. */
      readonly name?: string
    }

export interface TableOptions<C extends Columns, Key extends string, Tenant extends string = string> {
  readonly columns: C
  /** NOT NULL columns that make a row unique. With a tenant it must hold the tenant column. */
  readonly primaryKey?: readonly (Key & KeyNames<NoInfer<C>>)[]
  readonly indexes?: readonly IndexOptions<NamesOf<NoInfer<C>>>[]
  /** text, uuid, int4 or int8 column, NOT NULL, that says whose a row is. */
  readonly tenant?: Tenant & TenantNames<NoInfer<C>>
  /** Rows may be inserted, never changed or deleted, not even by the owner. Default false. */
  readonly appendOnly?: boolean
  /** Kept in the database as the table's comment. */
  readonly comment?: string
}

const tableOptions = ['columns', 'primaryKey', 'indexes', 'tenant', 'appendOnly', 'comment'] as const

/**
 * Declares an ordinary table, for data that is not a series: dimensions, settings, metadata.
 *
 * @example
 * import { t, table } from 'tidemark/schema'
 * const hosts = table('metrics.hosts', {
 *   columns: { host: t.text(), rack: t.text().nullable() },
 *   primaryKey: ['host'],
 * })
 * @throws TidemarkError TM_DECLARATION that lists everything that is wrong, each with its path.
 */
export function table<
  const Name extends string,
  const C extends Columns,
  const Key extends string = never,
  const Tenant extends string = never,
>(name: Name, options: TableOptions<C, Key, Tenant>): Table<QualifiedNameOf<Name>, C, Key, Tenant> {
  const problems = startProblems('table', name)
  if (!checkKeys(problems, '', options, tableOptions)) problems.assertEmpty('TM_DECLARATION')
  const relation = readRelation(problems, name, options as unknown as Record<string, unknown>)
  problems.assertEmpty('TM_DECLARATION')
  return Object.freeze({ kind: 'table', ...relation, indexes: Object.freeze(relation.indexes) }) as Table<
    QualifiedNameOf<Name>,
    C,
    Key,
    Tenant
  >
}
