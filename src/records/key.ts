import type { FilterNode, FilterValue } from '../query/index.ts'
import {
  type CanonicalValue,
  type TenantRule,
  type TenantScope,
  tenantRule,
  ValueProblem,
} from '../schema/index.ts'
import { formatInstant, type Instant, type TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { KeyInput } from './contract.ts'
import type { RecordTable } from './record-table.ts'

/**
 * How a key stands in a path: its values in the order of the primary key with commas between them, each percent-encoded. A value that
 * a path cannot carry safely (empty, dots alone, with a slash, backslash or control character, beginning with `~`) is `~` and the
 * base64url of its UTF-8.
 */

/** What proxies and URL parsers change or refuse, also where it is percent-encoded. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant
const unsafe = /^$|^\.+$|^~|[/\\\u0000-\u001f\u007f]/

/** @example keyTextOf(table, ['acme', 42]) // 'acme,42' */
export function keyTextOf(table: RecordTable, values: readonly CanonicalValue[]): string {
  return values.map((value, i) => partOf(textOf(table, i, value))).join(',')
}

function partOf(text: string): string {
  return unsafe.test(text) ? `~${Buffer.from(text).toString('base64url')}` : encodeURIComponent(text)
}

function textOf(table: RecordTable, i: number, value: CanonicalValue): string {
  return table.types[table.keyIndexes[i]!] === 'timestamptz' ? formatInstant(value as Instant) : String(value)
}

/**
 * Reads what `keyTextOf` writes. A caller with one tenant may leave its part out.
 *
 * @throws TidemarkError TM_QUERY
 */
export function readKeyText(table: RecordTable, text: string, scope: TenantScope): KeyInput {
  const { key, definition } = table
  const parts = text.split(',')
  const own = ownTenant(table, scope)
  const names =
    own !== null && parts.length === key.length - 1 ? key.filter((name) => name !== own.column) : key
  if (parts.length !== names.length)
    throw new TidemarkError('TM_QUERY', {
      path: 'key',
      problem: `${definition.name} has a key of ${key.length} (${key.join(', ')}), and this one has ${parts.length} with commas between them`,
    })
  return Object.fromEntries(names.map((name, i) => [name, inputOf(table, name, parts[i]!)]))
}

/** The form that the column's coercer takes. */
function inputOf(table: RecordTable, name: string, part: string): unknown {
  const text = decode(name, part)
  switch (table.definition.columns[name]!.type) {
    case 'int2':
    case 'int4':
      return /^-?\d{1,10}$/.test(text) ? Number(text) : text
    case 'float4':
    case 'float8':
      return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) ? Number(text) : text
    case 'bool':
      return text === 'true' ? true : text === 'false' ? false : text
    default:
      return text
  }
}

function decode(name: string, part: string): string {
  try {
    if (!part.startsWith('~')) return decodeURIComponent(part)
    const bytes = part.slice(1)
    if (/^[A-Za-z0-9_-]*$/.test(bytes))
      return new TextDecoder('utf8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, 'base64url'))
  } catch {
    // told below, with where it is
  }
  throw new TidemarkError('TM_QUERY', {
    path: `key.${name}`,
    problem: 'is neither percent-encoded UTF-8 nor "~" with base64url',
  })
}

/** The values of a key in the order of the primary key. @throws TidemarkError TM_QUERY */
export function readKey(table: RecordTable, input: unknown, scope: TenantScope): CanonicalValue[] {
  const { definition, key, keyIndexes } = table
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw new TidemarkError('TM_QUERY', {
      path: 'key',
      problem: `must be an object of the columns ${key.join(', ')}`,
    })
  const given = input as Readonly<Record<string, unknown>>
  for (const name of Object.keys(given))
    if (!key.includes(name))
      throw new TidemarkError('TM_QUERY', {
        path: `key.${name}`,
        problem: `is not part of the key of ${definition.name}, which is ${key.join(', ')}`,
      })
  const own = ownTenant(table, scope)
  return key.map((name, i) => {
    const value = Object.hasOwn(given, name) ? given[name] : undefined
    if (value === undefined && name === own?.column) return own.value
    const read =
      value === undefined || value === null
        ? new ValueProblem('is missing')
        : table.coercers[keyIndexes[i]!]!(value)
    if (read instanceof ValueProblem)
      throw new TidemarkError('TM_QUERY', { path: `key.${name}`, problem: read.problem })
    return read
  })
}

function ownTenant({ definition }: RecordTable, scope: TenantScope): (TenantRule & { kind: 'own' }) | null {
  const rule = tenantRule(definition, scope)
  return rule.kind === 'own' ? rule : null
}

/** The key of a row that is read or encoded. */
export function keyOfRow(table: RecordTable, values: readonly CanonicalValue[]): CanonicalValue[] {
  return table.keyIndexes.map((i) => values[i])
}

/** Equal for keys that PostgreSQL holds to be equal: 1.0 and 1.00, 0 and -0. */
export function keyIdentity(table: RecordTable, key: readonly CanonicalValue[]): string {
  return key
    .map((value, i) => {
      const text =
        table.types[table.keyIndexes[i]!] === 'numeric'
          ? trimDecimal(String(value))
          : value === 0
            ? '0'
            : String(value)
      return `${text.length}:${text}`
    })
    .join('')
}

function trimDecimal(text: string): string {
  const trimmed = text.includes('.') ? text.replace(/0+$/, '').replace(/\.$/, '') : text
  return trimmed === '-0' ? '0' : trimmed
}

/** Which row: a condition on each column of the key. */
export function keyFilter(table: RecordTable, key: readonly CanonicalValue[]): FilterNode {
  const filters = table.key.map((column, i): FilterNode => {
    return {
      kind: 'compare',
      ref: { column, path: [] },
      operator: 'eq',
      value: key[i] as FilterValue,
    }
  })
  return { kind: 'and', filters }
}

/** The instant of a row of a hypertable, as a range; null for plain tables. */
export function keyRange(
  { definition, key: names }: RecordTable,
  key: readonly CanonicalValue[],
): TimeRange | null {
  if (definition.kind !== 'hypertable') return null
  const at = key[names.indexOf(definition.time)] as Instant
  return { from: at, to: at + 1n }
}
