import { setImmediate } from 'node:timers/promises'
import type { DeadReason } from '../ingest/index.ts'
import {
  type CanonicalRow,
  type ColumnType,
  createRowCodec,
  type RowCodec,
  type RowProblem,
  type StoredDefinition,
  type TenantGuard,
} from '../schema/index.ts'
import { showValue } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { unreachable } from '../util/unreachable.ts'
import type { DroppedRows, RowEnricher } from './contract.ts'
import { type DeadRow, maxDeadMessage, maxDeadValue } from './dead-letters.ts'
import { eventIdsOf, maxEventIdChars } from './event-id.ts'
import { storedText } from './stored-text.ts'

/** Rows of a batch, checked and converted. */
export interface CheckedRows {
  readonly rows: readonly CanonicalRow[]
  /** The place in the batch of each of `rows`. */
  readonly places: readonly number[]
  readonly dead: readonly DeadRow[]
  readonly dropped: DroppedRows
  /** The rows of the batch by their place, as dead letters keep them: with what steps added, without what they took away. */
  readonly given: readonly unknown[]
}

const noneDropped: DroppedRows = Object.freeze({ count: 0, reasons: Object.freeze({}) })

/** Rows after which others have their turn: a large batch does not stop the process. */
const sliceRows = 4096

/** Memory of the texts of one batch. A few bytes of a protocol may stand for much: labels are sent once for all samples of a series. */
const maxTextBytes = 256 * 1024 * 1024

const codecs = new WeakMap<StoredDefinition, RowCodec>()

function codecOf(definition: StoredDefinition): RowCodec {
  let codec = codecs.get(definition)
  if (codec === undefined) {
    codec = createRowCodec(definition)
    codecs.set(definition, codec)
  }
  return codec
}

/**
 * Checks and converts rows when they come, so that what is wrong is known before anything is written.
 *
 * @param guard Of the caller's tenant: rows without one get his, those of another are refused. Null: every tenant's rows are taken.
 * @throws TidemarkError with `isAtomic` TM_ROW for the first row that does not fit, TM_TENANT; TM_LIMIT.
 */
export async function checkRows(
  definition: StoredDefinition,
  given: readonly unknown[],
  isAtomic: boolean,
  enricher: RowEnricher | null = null,
  guard: TenantGuard | null = null,
): Promise<CheckedRows> {
  const codec = codecOf(definition)
  const idPlace = eventIdsOf(definition)?.place ?? null
  const rows: CanonicalRow[] = []
  const places: number[] = []
  const dead: DeadRow[] = []
  const enriched: unknown[] = []
  const reasons = new Map<string, number>()
  let textBytes = 0
  for (let index = 0; index < given.length; index += 1) {
    if (index % sliceRows === sliceRows - 1) await setImmediate()
    let row = given[index]
    if (enricher !== null && isObject(row)) {
      const result = enricher.enrich(row)
      if (result.dropped !== null) {
        const { reason } = result.dropped
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
        enriched.push(null)
        continue
      }
      row = result.row
    }
    if (enricher !== null) enriched.push(row)
    if (guard !== null && isObject(row)) {
      row = guard.fill(row)
      const claimed = (row as Readonly<Record<string, unknown>>)[guard.column]
      if (guard.isOther(claimed)) {
        if (isAtomic) throw ofAnother(definition, index, guard)
        dead.push(deadOfAnother(index, row, guard, claimed))
        continue
      }
    }
    // a list has no columns of its own, so it would pass where every column has a default
    const values = Array.isArray(row) ? null : codec.encode(row as object)
    if (values === null) {
      const problem = codec.problems(row)[0] ?? unreachable('a row is refused and nothing is wrong with it')
      if (isAtomic) throw new TidemarkError('TM_ROW', { row: index, ...problem })
      dead.push(deadRow(definition, index, row, problem))
      continue
    }
    const own = idPlace === null ? null : values[idPlace]
    const id = own === null || own === undefined ? null : String(own)
    if (id !== null && id.length > maxEventIdChars) {
      const problem = `must have at most ${maxEventIdChars} characters as an event id, and has ${id.length}`
      const found = { column: codec.columns[idPlace!]!, value: id.slice(0, 60), problem }
      if (isAtomic) throw new TidemarkError('TM_ROW', { row: index, ...found })
      dead.push({ ...deadRow(definition, index, row, found), reason: 'range' })
      continue
    }
    for (const value of values) if (typeof value === 'string') textBytes += value.length * 2
    if (textBytes > maxTextBytes) throw tooMuchText(definition)
    rows.push(values)
    places.push(index)
  }
  const counts = [...reasons.values()]
  const dropped =
    counts.length === 0
      ? noneDropped
      : { count: counts.reduce((sum, n) => sum + n), reasons: Object.fromEntries(reasons) }
  return { rows, places, dead, dropped, given: enricher === null ? given : enriched }
}

function tooMuchText(definition: StoredDefinition): TidemarkError {
  return new TidemarkError('TM_LIMIT', {
    what: `the text of the rows for ${definition.name}`,
    value: 'more',
    limit: `${maxTextBytes} bytes in one transaction`,
    todo: 'send the rows in several requests',
  })
}

const wayOut = 'leave the column out, it is filled in'

function ofAnother({ name }: StoredDefinition, index: number, { column }: TenantGuard): TidemarkError {
  const problem = `row ${index} is another tenant's by its "${column}"`
  return new TidemarkError('TM_TENANT', { table: name, problem, todo: wayOut })
}

function deadOfAnother(index: number, row: unknown, { column }: TenantGuard, claimed: unknown): DeadRow {
  const message = `"${column}" is another tenant's; ${wayOut}`
  return {
    index,
    column,
    value: storedText(showValue(claimed), maxDeadValue),
    reason: 'tenant',
    message,
    row,
  }
}

function isObject(row: unknown): row is Readonly<Record<string, unknown>> {
  return typeof row === 'object' && row !== null && !Array.isArray(row)
}

function deadRow(
  definition: StoredDefinition,
  index: number,
  row: unknown,
  { column, value, problem }: RowProblem,
): DeadRow {
  return {
    index,
    column: column === null ? null : storedText(column, maxDeadValue),
    value: storedText(value, maxDeadValue),
    reason: reasonOf(definition, row, column),
    message: storedText(column === null ? problem : `"${column}" ${problem}`, maxDeadMessage),
    row,
  }
}

const timeTypes: readonly ColumnType[] = ['timestamptz', 'date']
const numberTypes: readonly ColumnType[] = ['int2', 'int4', 'int8', 'float4', 'float8', 'numeric']

function reasonOf(definition: StoredDefinition, row: unknown, name: string | null): DeadReason {
  if (name === null) return 'json'
  const column = Object.hasOwn(definition.columns, name) ? definition.columns[name] : undefined
  if (column === undefined) return 'column'
  const value = (row as Record<string, unknown>)[name]
  if (value === undefined || value === null) return 'null'
  if (timeTypes.includes(column.type)) return 'time'
  if (numberTypes.includes(column.type)) return isWholeNumber(value) ? 'range' : 'type'
  if (typeof value === 'string' && value.includes('\0')) return 'nul'
  return 'type'
}

/** A number that any of the types would take, if it were not too large. */
function isWholeNumber(value: unknown): boolean {
  if (typeof value === 'bigint') return true
  return typeof value === 'number' ? Number.isInteger(value) : /^[+-]?\d+$/.test(String(value))
}
