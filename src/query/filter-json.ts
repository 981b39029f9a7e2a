import type { DatasetDefinition, JsonValue } from '../schema/index.ts'
import { formatInstant, infinityInstant, minusInfinityInstant } from '../time/index.ts'
import type { ColumnRef, FilterNode, FilterValue } from './nodes.ts'
import { columnOf } from './references.ts'

/** The text that `parseRef` reads as this place: dots and backslashes of names are escaped. */
export function refText({ column, path }: ColumnRef): string {
  return [column, ...path].map((name) => name.replace(/[\\.]/g, '\\$&')).join('.')
}

/**
 * A filter as JSON that is parsed into the same filter, whatever it was written in: times are ISO texts, int8 and floats that JSON
 * does not have are texts.
 *
 * @example
 * filterToJson(requests, filter) // { $and: [{ status: { eq: 'ok' } }, { time: { gte: '2026-01-01T00:00:00Z' } }] }
 */
export function filterToJson(dataset: DatasetDefinition, filter: FilterNode): JsonValue {
  switch (filter.kind) {
    case 'and':
    case 'or':
      if (filter.filters.length === 0 && filter.kind === 'and') return {}
      return { [`$${filter.kind}`]: filter.filters.map((part) => filterToJson(dataset, part)) }
    case 'not':
      return { $not: filterToJson(dataset, filter.filter) }
    case 'isNull':
      return { [refText(filter.ref)]: null }
    case 'contains':
      return { [refText(filter.ref)]: { contains: filter.value } }
    case 'like':
      return { [refText(filter.ref)]: { [filter.caseInsensitive ? 'ilike' : 'like']: filter.pattern } }
    case 'in':
      return {
        [refText(filter.ref)]: { in: filter.values.map((value) => valueToJson(dataset, filter.ref, value)) },
      }
    case 'compare':
      return { [refText(filter.ref)]: { [filter.operator]: valueToJson(dataset, filter.ref, filter.value) } }
  }
}

function valueToJson(dataset: DatasetDefinition, ref: ColumnRef, value: FilterValue): JsonValue {
  if (typeof value === 'bigint') {
    if (columnOf(dataset, ref.column)?.type !== 'timestamptz') return value.toString()
    if (value === infinityInstant) return 'infinity'
    return value === minusInfinityInstant ? '-infinity' : formatInstant(value)
  }
  if (typeof value !== 'number' || (Number.isFinite(value) && !Object.is(value, -0))) return value
  // a number inside of JSON is always finite, and has one zero
  if (ref.path.length > 0) return 0
  return Object.is(value, -0) ? '-0' : String(value)
}

/** Every place that a filter looks at. */
export function filterRefs(filter: FilterNode): readonly ColumnRef[] {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.filters.flatMap(filterRefs)
    case 'not':
      return filterRefs(filter.filter)
    default:
      return [filter.ref]
  }
}
