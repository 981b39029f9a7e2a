import { formatInstant, type Interval, parseInstant, parseInterval } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type {
  ColumnDefault,
  ColumnDefinition,
  EventColumns,
  IndexDefinition,
  JsonValue,
  StoredDefinition,
} from './definition.ts'

/**
 * A definition as JSON for the catalog. Columns are a list, because jsonb forgets the order of keys. Defaults of
 * timestamptz and int8 are texts.
 */
export interface EncodedDefinition {
  readonly version: 1
  readonly kind: 'table' | 'hypertable'
  readonly name: string
  readonly columns: readonly EncodedColumn[]
  readonly primaryKey: readonly string[] | null
  readonly indexes: readonly IndexDefinition[]
  readonly tenant: string | null
  readonly appendOnly: boolean
  readonly comment: string | null
  readonly time?: string
  readonly chunk?: string
  readonly orderBy?: readonly string[]
  readonly freeze?: { readonly after: string } | null
  readonly retain?: string | null
  /** Not there: 'refuse', as before there was a choice. */
  readonly late?: 'merge'
  /** Not there: none. */
  readonly dedupe?: { readonly by: string; readonly within: string }
  /** Not there: none. */
  readonly events?: EventColumns
  readonly maxChunks?: number
  readonly changeCell?: string
}

type EncodedColumn = Omit<ColumnDefinition, 'default'> & {
  readonly name: string
  readonly default:
    | { readonly kind: 'value'; readonly value: JsonValue }
    | Extract<ColumnDefault, { kind: 'sql' }>
    | null
}

/** Plain JSON that `decodeDefinition` turns back into an equal definition. */
export function encodeDefinition(definition: StoredDefinition): EncodedDefinition {
  const { kind, name, primaryKey, indexes, tenant, appendOnly, comment } = definition
  const columns = Object.entries(definition.columns).map(([column, d]) => ({
    name: column,
    type: d.type,
    nullable: d.nullable,
    default: encodeDefault(d),
    precision: d.precision,
    scale: d.scale,
    comment: d.comment,
  }))
  const base = { version: 1 as const, kind, name, columns, primaryKey, indexes, tenant, appendOnly, comment }
  if (definition.kind === 'table') return base
  return {
    ...base,
    time: definition.time,
    chunk: definition.chunk.text,
    orderBy: definition.orderBy,
    freeze: definition.freeze === null ? null : { after: definition.freeze.after.text },
    retain: definition.retain?.text ?? null,
    ...(definition.late === 'merge' ? { late: definition.late } : {}),
    ...(definition.dedupe === null
      ? {}
      : { dedupe: { by: definition.dedupe.by, within: definition.dedupe.within.text } }),
    ...(definition.events === null ? {} : { events: definition.events }),
    maxChunks: definition.maxChunks,
    changeCell: definition.changeCell.text,
  }
}

function encodeDefault(column: ColumnDefinition): EncodedColumn['default'] {
  if (column.default === null || column.default.kind === 'sql') return column.default
  const { value } = column.default
  if (column.type === 'timestamptz') return { kind: 'value', value: formatInstant(value as bigint) }
  if (typeof value === 'bigint') return { kind: 'value', value: value.toString() }
  // JSON has no NaN and infinities, and writes -0 as 0.
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))) {
    return { kind: 'value', value: Object.is(value, -0) ? '-0' : String(value) }
  }
  return { kind: 'value', value: value as JsonValue }
}

function decodeDefault(encoded: EncodedColumn): ColumnDefault | null {
  if (encoded.default === null) return null
  if (encoded.default.kind === 'sql') return Object.freeze({ ...encoded.default })
  const { value } = encoded.default
  const decoded: unknown =
    encoded.type === 'timestamptz'
      ? parseInstant(value as string)
      : encoded.type === 'int8'
        ? BigInt(value as string)
        : encoded.type === 'float4' || encoded.type === 'float8'
          ? Number(value)
          : deepFreeze(value)
  return Object.freeze({ kind: 'value', value: decoded })
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}

/**
 * The definition that was encoded. What is read was written by `encodeDefinition` of this version or an older one, so
 * it is trusted; a version from the future is refused.
 */
export function decodeDefinition(json: unknown): StoredDefinition {
  const encoded = json as EncodedDefinition
  if (typeof encoded !== 'object' || encoded === null || encoded.version !== 1) {
    throw new TidemarkError('TM_MIGRATION', {
      problem: `the catalog's declaration of ${String(encoded?.name ?? 'a table')} has version ${String(encoded?.version)}, and this release reads version 1`,
      todo: 'use the version of Tidemark that migrated this database last, or a newer one',
    })
  }
  const columns: Record<string, ColumnDefinition> = {}
  for (const column of encoded.columns) {
    const { name, type, nullable, precision, scale, comment } = column
    columns[name] = Object.freeze({
      type,
      nullable,
      default: decodeDefault(column),
      precision,
      scale,
      comment,
    })
  }
  const [schema = '', table = ''] = encoded.name.split('.')
  const base = {
    name: encoded.name,
    schema,
    table,
    columns: Object.freeze(columns),
    primaryKey: encoded.primaryKey === null ? null : Object.freeze([...encoded.primaryKey]),
    indexes: deepFreeze(
      encoded.indexes.map((index) => ({
        name: index.name,
        columns: index.columns.map(({ column, direction }) => ({ column, direction })),
        unique: index.unique,
        method: index.method,
        where: index.where,
      })),
    ),
    tenant: encoded.tenant,
    appendOnly: encoded.appendOnly,
    comment: encoded.comment,
  }
  if (encoded.kind === 'table') return Object.freeze({ kind: 'table', ...base })
  const interval = (text: string | null | undefined): Interval | null =>
    text === null || text === undefined ? null : parseInterval(text)
  const after = interval(encoded.freeze?.after)
  return Object.freeze({
    kind: 'hypertable',
    ...base,
    time: encoded.time as string,
    chunk: interval(encoded.chunk) as Interval,
    orderBy: Object.freeze([...(encoded.orderBy ?? [])]),
    freeze: after === null ? null : Object.freeze({ after }),
    retain: interval(encoded.retain),
    late: encoded.late ?? 'refuse',
    dedupe: encoded.dedupe
      ? Object.freeze({ by: encoded.dedupe.by, within: parseInterval(encoded.dedupe.within) })
      : null,
    events: encoded.events ? Object.freeze({ ...encoded.events }) : null,
    maxChunks: encoded.maxChunks as number,
    changeCell: interval(encoded.changeCell) as Interval,
  })
}
