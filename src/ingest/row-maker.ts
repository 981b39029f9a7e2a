import { JsonbProblem, type ParquetKind, toJsonbText } from '../lake/index.ts'
import type { CanonicalValue, StoredDefinition } from '../schema/index.ts'
import {
  floorDivide,
  formatInstant,
  instantOfLocal,
  isFiniteInstant,
  isTimeOfRow,
  microsPerDay,
  resolveZone,
  textOfDay,
  timeColumnYears,
  type Zone,
} from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { createConvert } from './convert.ts'
import { type ColumnNotes, type Convert, type ConvertContext, refused } from './convert-context.ts'
import type { ImportPlan } from './plan.ts'
import type { DeadReason } from './reasons.ts'
import { sourceText } from './source-text.ts'
import { TimeReader } from './time-format.ts'

/** Why the last record was refused. */
export interface RowProblem {
  reason: DeadReason
  message: string
  column: string | null
  value: string | null
}

interface Cell {
  readonly column: string
  /** Takes the record's fields and its line. */
  readonly take: (fields: readonly unknown[], line: number) => CanonicalValue | typeof refused
  readonly show: (fields: readonly unknown[]) => string | null
  readonly nullable: boolean
  /** What stands in for null in a column that takes none: the default's value, `undefined` for one that SQL computes. */
  readonly fallback: { readonly value: CanonicalValue } | null
  readonly context: ConvertContext
  readonly time: TimeReader | null
}

/** Makes rows, in declared column order and canonical form, from what a reader gives, as a plan says. */
export class RowMaker {
  readonly #cells: readonly Cell[]
  readonly #fieldCount: number | null
  readonly #fill: boolean
  readonly problem: RowProblem = { reason: 'type', message: '', column: null, value: null }

  /** `forLake`: rows do not pass through PostgreSQL, so everything that it would do to them is done here. */
  constructor(file: string, plan: ImportPlan, definition: StoredDefinition, forLake = false) {
    const zone = plan.timeZone === null ? null : resolveZone(plan.timeZone)
    this.#fieldCount = plan.format === 'csv' ? plan.fields.length : null
    this.#fill = plan.ragged === 'fill'
    this.#cells = plan.columns.map((column) => createCell(file, plan, definition, column, zone, forLake))
  }

  /** A row, or null: `problem` then says why. */
  make(fields: readonly unknown[], line: number): CanonicalValue[] | null {
    if (this.#fieldCount !== null && fields.length !== this.#fieldCount && !this.#fill) {
      this.#refuse(
        'fields',
        `the row has ${fields.length} fields, the header ${this.#fieldCount}`,
        null,
        null,
      )
      return null
    }
    const cells = this.#cells
    const row: CanonicalValue[] = new Array(cells.length)
    for (let i = 0; i < cells.length; i++) {
      const cell = cells[i]!
      const value = cell.take(fields, line)
      if (value === refused) {
        if (isEmpty(fields)) this.#refuseEmpty()
        else this.#refuse(cell.context.reason, cell.context.message, cell.column, cell.show(fields))
        return null
      }
      if (value === null && !cell.nullable) {
        if (cell.fallback !== null) {
          row[i] = cell.fallback.value
          continue
        }
        if (isEmpty(fields)) this.#refuseEmpty()
        else this.#refuse('null', 'the column must have a value', cell.column, cell.show(fields))
        return null
      }
      row[i] = value
    }
    return row
  }

  /** What was done to the values so far, for columns where anything was. */
  notes(): Record<string, ColumnNotes> {
    const notes: Record<string, ColumnNotes> = {}
    for (const cell of this.#cells) {
      const own: ColumnNotes = {
        ...cell.context.notes,
        longFractions: cell.context.notes.longFractions + (cell.time?.longFractions ?? 0),
        truncated: cell.context.notes.truncated + (cell.time?.truncated ?? 0),
      }
      const isUsed =
        Object.keys(own.nullWords).length > 0 || own.wholeFractions + own.scientific + own.longFractions > 0
      if (isUsed) notes[cell.column] = own
    }
    return notes
  }

  #refuseEmpty(): void {
    this.#refuse('empty', 'every field of the row is empty', null, null)
  }

  #refuse(reason: DeadReason, message: string, column: string | null, value: string | null): void {
    this.problem.reason = reason
    this.problem.message = message
    this.problem.column = column
    this.problem.value = value
  }
}

function isEmpty(fields: readonly unknown[]): boolean {
  return fields.every((field) => field === '' || field === null || field === undefined)
}

function createCell(
  file: string,
  plan: ImportPlan,
  definition: StoredDefinition,
  planned: ImportPlan['columns'][number],
  zone: Zone | null,
  forLake: boolean,
): Cell {
  const declared = definition.columns[planned.column]!
  const { source } = planned
  const time = planned.timeFormat === null ? null : new TimeReader(planned.timeFormat, zone)
  const context: ConvertContext = {
    reason: 'type',
    message: '',
    notes: { nullWords: {}, wholeFractions: 0, scientific: 0, longFractions: 0, truncated: 0 },
  }
  const isTime = definition.kind === 'hypertable' && planned.column === definition.time
  const convertAny = createConvert(
    declared,
    {
      nullWords: plan.nullWords,
      time: time ?? new TimeReader('iso', zone),
      stringsAreJson: plan.format === 'ndjson' && source.kind === 'field',
    },
    context,
  )
  const convertJson: Convert =
    forLake && declared.type === 'jsonb' ? canonicalJson(convertAny, context) : convertAny
  const convert: Convert = isTime ? (value) => checkTime(convertAny(value), context) : convertJson
  const cell = {
    column: planned.column,
    show: () => null,
    nullable: declared.nullable,
    fallback: fallbackOf(declared, forLake),
    context,
    time,
  }
  switch (source.kind) {
    case 'field': {
      const { index } = source
      const kind = plan.parquet?.[index]?.kind
      const given =
        kind === undefined ? convertJson : convertParquet(kind, declared.type, zone, convertJson, context)
      const take: Convert = isTime ? (value) => checkTime(given(value), context) : given
      return { ...cell, take: (fields) => take(fields[index]), show: (fields) => show(fields[index]) }
    }
    case 'assembled':
      return {
        ...cell,
        take: (fields) => convert(sourceText(source, fields)),
        show: (fields) => sourceText(source, fields),
      }
    case 'constant': {
      const value = convert(source.value)
      if (value === refused)
        throw new TidemarkError('TM_IMPORT', {
          file,
          problem: `the constant ${JSON.stringify(source.value)} for column "${planned.column}": ${context.message}`,
          todo: 'correct set (--set)',
        })
      context.notes.nullWords = {}
      return { ...cell, take: () => value }
    }
    case 'line':
    case 'file': {
      const probe = convert(source.kind === 'line' ? '1' : file)
      if (probe === refused)
        throw new TidemarkError('TM_IMPORT', {
          file,
          problem: `@${source.kind} cannot go into column "${planned.column}" of type ${declared.type}`,
          todo: source.kind === 'line' ? 'use a column of type int8' : 'use a column of type text',
        })
      return source.kind === 'file'
        ? { ...cell, take: () => probe }
        : { ...cell, take: (_fields, line) => convert(String(line)) }
    }
    case 'none': {
      const value = cell.fallback === null ? null : cell.fallback.value
      return { ...cell, take: () => value }
    }
  }
}

/** Times at the ends of timestamptz have no place in cells and buckets. */
function checkTime(
  time: CanonicalValue | typeof refused,
  context: ConvertContext,
): CanonicalValue | typeof refused {
  if (typeof time !== 'bigint' || isTimeOfRow(time)) return time
  context.reason = 'range'
  context.message = `the time of a row must not be outside of the years ${timeColumnYears}`
  return refused
}

/** A document as PostgreSQL prints it. */
function canonicalJson(convert: Convert, context: ConvertContext): Convert {
  return (value) => {
    const text = convert(value)
    if (typeof text !== 'string') return text
    try {
      return toJsonbText(text)
    } catch (error) {
      if (!(error instanceof JsonbProblem)) throw error
      context.reason = 'range'
      context.message = error.message
      return refused
    }
  }
}

/**
 * As for rows from TypeScript: a known default is filled in, one that SQL computes is left to PostgreSQL; in the lake
 * nobody computes it.
 */
function fallbackOf(
  declared: StoredDefinition['columns'][string],
  forLake: boolean,
): { readonly value: CanonicalValue } | null {
  const given = declared.default
  if (given === null) return null
  if (given.kind === 'sql') return forLake ? null : { value: undefined }
  if (declared.type !== 'jsonb') return { value: given.value as CanonicalValue }
  const text = JSON.stringify(given.value)
  return { value: forLake ? toJsonbText(text) : text }
}

/** Times of Parquet are numbers; everything else is converted as text and JSON values are. */
function convertParquet(
  kind: ParquetKind,
  type: string,
  zone: Zone | null,
  convert: Convert,
  context: ConvertContext,
): Convert {
  const isNanos = kind === 'instant-ns' || kind === 'local-ns'
  const isLocal = kind === 'local' || kind === 'local-ns'
  if (!isNanos && !isLocal && kind !== 'instant') {
    // JSON text must not be taken for a text that happens to be JSON
    return convert
  }
  return (value) => {
    if (value === null || value === undefined) return null
    let micros = value as bigint
    if (isNanos) {
      const nanos = micros
      micros = floorDivide(nanos, 1000n)
      if (micros * 1000n !== nanos) {
        context.notes.longFractions++
        context.notes.truncated++
      }
    }
    if (type === 'timestamptz') {
      const instant = isLocal && zone !== null ? instantOfLocal(zone, micros) : micros
      if (isFiniteInstant(instant)) return instant
      context.reason = 'range'
      context.message = 'it is outside what timestamptz can hold, or infinite'
      return refused
    }
    if (type === 'date') {
      if (micros % microsPerDay === 0n && isFiniteInstant(micros))
        return textOfDay(Number(micros / microsPerDay))
      context.reason = 'type'
      context.message = 'it is a date with a time of day'
      return refused
    }
    if (type === 'text' && isFiniteInstant(micros)) {
      const text = formatInstant(micros)
      return isLocal ? text.slice(0, -1) : text
    }
    context.reason = 'type'
    context.message = `a time is no ${type}`
    return refused
  }
}

function show(value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return String(value)
  return JSON.stringify(value, (_key, inner) => (typeof inner === 'bigint' ? String(inner) : inner)) ?? null
}
