import { TidemarkError } from '../util/errors.ts'
import { type Coercer, createCoercer, ValueProblem } from './coerce.ts'
import type { ColumnDefinition, StoredDefinition } from './definition.ts'
import type { TenantScope } from './tenant.ts'

/** What a scope means for one table. */
export type TenantRule =
  /** Every row: there is no condition. */
  | { readonly kind: 'all' }
  /** The table has no tenant: the caller reads every row, and writes none. */
  | { readonly kind: 'shared' }
  /** Rows whose tenant column has this value, in the form that queries and rows have it. */
  | { readonly kind: 'own'; readonly column: string; readonly value: TenantValue }
  /** No row: the caller has no tenant, or one that is no value of the column's type. */
  | { readonly kind: 'nothing'; readonly column: string }

export type TenantValue = string | number | bigint

type TenantTable = Pick<StoredDefinition, 'name' | 'tenant' | 'columns'>

/**
 * @example
 * tenantRule(requests, { kind: 'one', tenant: 'acme' }) // { kind: 'own', column: 'tenant', value: 'acme' }
 */
export function tenantRule({ tenant: column, columns }: TenantTable, scope: TenantScope): TenantRule {
  if (scope.kind === 'all') return scope
  if (column === null) return { kind: 'shared' }
  const value = scope.kind === 'one' ? ownValue(columns[column] as ColumnDefinition, scope.tenant) : null
  return value === null ? { kind: 'nothing', column } : { kind: 'own', column, value }
}

/** Of texts that PostgreSQL reads as one number only the one that it writes is a tenant: '7', and neither '07' nor '+7'. */
function ownValue(column: ColumnDefinition, tenant: string): TenantValue | null {
  // what a setting says that was never set
  if (tenant === '') return null
  const given = column.type === 'int4' && /^-?\d{1,10}$/.test(tenant) ? Number(tenant) : tenant
  const value = createCoercer(column)(given)
  if (value instanceof ValueProblem) return null
  const written = column.type === 'uuid' ? tenant.toLowerCase() : tenant
  return String(value) === written ? (value as TenantValue) : null
}

/** Keeps a caller's writes among his own rows. */
export interface TenantGuard {
  readonly column: string
  readonly value: TenantValue
  /** The row with his tenant in it, where it has none; otherwise as it is. */
  fill(row: unknown): unknown
  /** The same for a plain object that nobody else has: no copy is made. */
  fillIn(row: Record<string, unknown>): void
  /** Whether a value given for the tenant is another's. What is no value of the type is nobody's: the codec refuses it. */
  isOther(given: unknown): boolean
}

/**
 * Null: the caller may write every row.
 *
 * @throws TidemarkError TM_FORBIDDEN for a table without a tenant, TM_TENANT for a caller who has none.
 */
export function tenantGuard(definition: TenantTable, scope: TenantScope): TenantGuard | null {
  const rule = tenantRule(definition, scope)
  switch (rule.kind) {
    case 'all':
      return null
    case 'shared':
      throw new TidemarkError('TM_FORBIDDEN', {
        what: `${definition.name} has no tenant column, so its rows belong to all tenants together`,
        todo: 'it is written by callers who may write for every tenant',
      })
    case 'nothing':
      throw new TidemarkError('TM_TENANT', {
        table: definition.name,
        problem:
          scope.kind === 'one'
            ? `the caller's tenant is no value of "${rule.column}", which is ${definition.columns[rule.column]!.type}`
            : 'the caller has no tenant',
        todo: 'use a key or token of a tenant that may have rows here',
      })
    case 'own':
      return createGuard(definition, rule.column, rule.value)
  }
}

function createGuard({ columns }: TenantTable, column: string, value: TenantValue): TenantGuard {
  const coerce: Coercer = createCoercer(columns[column] as ColumnDefinition)
  const isInherited = column in Object.prototype
  const names = Object.keys(columns)
  return Object.freeze({
    column,
    value,
    fill(row: unknown): unknown {
      if (typeof row !== 'object' || row === null || Array.isArray(row)) return row
      const given =
        isInherited && !Object.hasOwn(row, column) ? undefined : (row as Record<string, unknown>)[column]
      return isNobodys(given) ? { ...plain(row, names), [column]: value } : row
    },
    fillIn(row: Record<string, unknown>): void {
      const given = isInherited && !Object.hasOwn(row, column) ? undefined : row[column]
      if (isNobodys(given)) row[column] = value
    },
    isOther(given: unknown): boolean {
      if (given === value) return false
      const read = coerce(given)
      return !(read instanceof ValueProblem) && read !== value
    },
  })
}

/** '' is what a field of CSV holds in which nothing is. */
function isNobodys(given: unknown): boolean {
  return given === undefined || given === null || given === ''
}

/** A class's rows have values that only the prototype knows. */
function plain(row: object, names: readonly string[]): object {
  const prototype: unknown = Object.getPrototypeOf(row)
  if (prototype === Object.prototype || prototype === null) return row
  const known = names.filter((name) => !(name in Object.prototype) || Object.hasOwn(row, name))
  const values = known.map((name) => [name, (row as Record<string, unknown>)[name]])
  return { ...Object.fromEntries(values.filter(([, value]) => value !== undefined)), ...row }
}
