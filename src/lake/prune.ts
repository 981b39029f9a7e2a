import { compareValues, type FilterNode } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import type { ColumnRange, LakeFile } from './contract.ts'

/** Which truth values a filter can have for rows of a file. */
interface Possible {
  readonly isTrue: boolean
  readonly isFalse: boolean
  readonly isNull: boolean
}

const anything: Possible = { isTrue: true, isFalse: true, isNull: true }
const onlyNull: Possible = { isTrue: false, isFalse: false, isNull: true }

/**
 * The files that may hold a row of the range for which the filter is true, by their times and by the least and greatest
 * values of the columns that they are sorted by.
 */
export function filesFor(
  dataset: HypertableDefinition,
  files: readonly LakeFile[],
  range: TimeRange | null,
  where: FilterNode | null,
): readonly LakeFile[] {
  return files.filter(
    (file) =>
      (range === null || (file.minTime < range.to && file.maxTime >= range.from)) &&
      file.deletedRows < file.rowCount &&
      (where === null || possible(where, dataset, file).isTrue),
  )
}

function possible(filter: FilterNode, dataset: HypertableDefinition, file: LakeFile): Possible {
  switch (filter.kind) {
    case 'and': {
      const parts = filter.filters.map((part) => possible(part, dataset, file))
      return {
        isTrue: parts.every((part) => part.isTrue),
        isFalse: parts.some((part) => part.isFalse),
        isNull: parts.some((part) => part.isNull),
      }
    }
    case 'or': {
      const parts = filter.filters.map((part) => possible(part, dataset, file))
      return {
        isTrue: parts.some((part) => part.isTrue),
        isFalse: parts.every((part) => part.isFalse),
        isNull: parts.some((part) => part.isNull),
      }
    }
    case 'not': {
      const inner = possible(filter.filter, dataset, file)
      return { isTrue: inner.isFalse, isFalse: inner.isTrue, isNull: inner.isNull }
    }
    case 'isNull': {
      if (filter.ref.path.length > 0) return anything
      const range = rangeOf(filter.ref.column, dataset, file)
      if (range === undefined) return anything
      return { isTrue: range === null || range.hasNull, isFalse: range !== null, isNull: false }
    }
    case 'compare':
    case 'in': {
      if (filter.ref.path.length > 0) return anything
      if (filter.kind === 'in' && filter.values.length === 0)
        return { isTrue: false, isFalse: true, isNull: false }
      const range = rangeOf(filter.ref.column, dataset, file)
      if (range === undefined) return anything
      if (range === null) return onlyNull
      const type = dataset.columns[filter.ref.column]!.type
      const against = (value: unknown): Possible => {
        const min = compareValues(type, range.min, value)
        const max = compareValues(type, range.max, value)
        const isNull = range.hasNull
        switch (filter.kind === 'in' ? 'eq' : filter.operator) {
          case 'eq':
            return { isTrue: min <= 0 && max >= 0, isFalse: min !== 0 || max !== 0, isNull }
          case 'ne':
            return { isTrue: min !== 0 || max !== 0, isFalse: min <= 0 && max >= 0, isNull }
          case 'lt':
            return { isTrue: min < 0, isFalse: max >= 0, isNull }
          case 'lte':
            return { isTrue: min <= 0, isFalse: max > 0, isNull }
          case 'gt':
            return { isTrue: max > 0, isFalse: min <= 0, isNull }
          case 'gte':
            return { isTrue: max >= 0, isFalse: min < 0, isNull }
        }
      }
      if (filter.kind === 'compare') return against(filter.value)
      const parts = filter.values.map(against)
      return {
        isTrue: parts.some((part) => part.isTrue),
        isFalse: parts.every((part) => part.isFalse),
        isNull: range.hasNull,
      }
    }
    case 'like':
    case 'contains':
      return anything
  }
}

/** Undefined: not known. Null: the column is null throughout. */
function rangeOf(
  column: string,
  dataset: HypertableDefinition,
  file: LakeFile,
): ColumnRange | null | undefined {
  if (column === dataset.time) return { min: file.minTime, max: file.maxTime, hasNull: false }
  // added after the file was written
  if (!Object.hasOwn(file.layout.columns, column)) return null
  return Object.hasOwn(file.stats, column) ? file.stats[column] : undefined
}
