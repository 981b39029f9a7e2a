import type { FilterNode } from './nodes.ts'

/** One text for a filter; equal filters in another order of their conditions have the same. */
export function canonicalFilter(filter: FilterNode | null): string {
  return canonicalJson(normalFilter(filter))
}

function normalFilter(filter: FilterNode | null): unknown {
  if (filter === null) return null
  switch (filter.kind) {
    case 'and':
    case 'or': {
      const flat = filter.filters.flatMap((part) => (part.kind === filter.kind ? part.filters : [part]))
      return { kind: filter.kind, filters: sortedUnique(flat.map(normalFilter)) }
    }
    case 'not':
      return { kind: 'not', filter: normalFilter(filter.filter) }
    case 'in':
      return { ...filter, values: sortedUnique(filter.values) }
    default:
      return filter
  }
}

function sortedUnique(values: readonly unknown[]): unknown[] {
  const byText = new Map(values.map((value) => [canonicalJson(value), value]))
  return [...byText.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value)
}

/** JSON with sorted keys. bigint is `{"$int":"1"}`; NaN, infinities and -0 are `{"$float":"NaN"}`; undefined is left out. */
export function canonicalJson(value: unknown): string {
  if (typeof value === 'bigint') return `{"$int":"${value}"}`
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)))
    return `{"$float":"${Object.is(value, -0) ? '-0' : value}"}`
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`).join(',')}}`
  }
  return JSON.stringify(value ?? null)
}
