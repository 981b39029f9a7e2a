import { deserialize, serialize } from 'node:v8'
import { allTenants, type StoredDefinition, type TenantScope, tenantGuard } from '../schema/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { toJsonText } from '../util/json.ts'
import { Caller } from './caller.ts'
import type { DroppedRows, IngestBatch } from './contract.ts'
import type { DeadRow } from './dead-letters.ts'
import { type CheckedRows, checkRows } from './row-checker.ts'
import type { SpoolMark } from './spool-position.ts'

/** A batch on disk. Rows are kept as they came, so that a declaration that has changed meanwhile is what they are checked by. */
export interface SpooledBatch {
  readonly dataset: string
  /** Absent in those of versions that had none: every tenant's. */
  readonly scope?: TenantScope
  readonly onConflict: IngestBatch['onConflict']
  readonly isAtomic: boolean
  readonly idempotencyKey: string | null
  readonly fingerprint: Uint8Array | null
  readonly source: string
  /** Those that fit, with the place of each in the batch. */
  readonly rows: readonly unknown[]
  readonly places: readonly number[]
  readonly dead: readonly DeadRow[]
  readonly dropped: DroppedRows
}

/** Structured clone: dates, bigints and NaN come out as they went in. */
export function encodeBatch(
  batch: IngestBatch,
  { rows, places, dead, dropped, given }: CheckedRows,
  fingerprint: Uint8Array | null,
): Buffer {
  const spooled: SpooledBatch = {
    dataset: batch.definition.name,
    scope: batch.scope ?? allTenants,
    onConflict: batch.onConflict,
    isAtomic: batch.isAtomic,
    idempotencyKey: batch.idempotencyKey,
    fingerprint,
    source: batch.source,
    rows: rows.map((_, i) => plainRow(batch.definition, given[places[i]!])),
    places,
    dead: dead.map((row) => ({ ...row, row: keptRow(row.row) })),
    dropped,
  }
  return serialize(spooled)
}

export function decodeBatch(content: Buffer): SpooledBatch {
  return deserialize(content) as SpooledBatch
}

/** Somebody who waits for nothing: the batch as the writer takes it. */
export async function spooledCaller(
  definition: StoredDefinition,
  spooled: SpooledBatch,
  bytes: number,
  mark: SpoolMark,
): Promise<Caller> {
  const again = await checkAgain(definition, spooled)
  const given: unknown[] = []
  spooled.places.forEach((place, i) => {
    given[place] = spooled.rows[i]
  })
  const placeOf = (index: number): number => spooled.places[index]!
  const checked: CheckedRows = {
    rows: again.rows,
    places: again.places.map(placeOf),
    dead: spooled.dead,
    dropped: spooled.dropped,
    given,
  }
  const batch: IngestBatch = { ...spooled, definition, acknowledge: 'queued', signal: null }
  const caller = new Caller(batch, checked, spooled.fingerprint, bytes, mark)
  // the declaration has changed since they came
  caller.refuseRows(again.dead.map((row) => ({ ...row, index: placeOf(row.index) })))
  // an answer that nobody looks at is no error
  caller.done.catch(() => {})
  return caller
}

/** As the tables are declared now, of which the caller's tenant may have no rows any more. */
async function checkAgain(
  definition: StoredDefinition,
  { rows, scope = allTenants }: SpooledBatch,
): Promise<Pick<CheckedRows, 'rows' | 'places' | 'dead'>> {
  try {
    return await checkRows(definition, rows, false, null, tenantGuard(definition, scope))
  } catch (error) {
    if (!isTidemarkError(error) || (error.code !== 'TM_TENANT' && error.code !== 'TM_FORBIDDEN')) throw error
    const { message } = error
    const why = { column: definition.tenant, value: null, reason: 'tenant', message } as const
    return { rows: [], places: [], dead: rows.map((row, index) => ({ ...why, index, row })) }
  }
}

/** A class's rows have values that only the prototype knows. */
function plainRow(definition: StoredDefinition, row: unknown): unknown {
  const prototype: unknown = Object.getPrototypeOf(row)
  if (prototype === Object.prototype || prototype === null) return row
  const values = Object.keys(definition.columns).map((name) => [name, (row as Record<string, unknown>)[name]])
  return Object.fromEntries(values.filter(([, value]) => value !== undefined))
}

/** A row that was refused may hold what cannot be cloned, as functions: of that the dead letter has what JSON has. */
function keptRow(row: unknown): unknown {
  try {
    serialize(row)
    return row
  } catch {
    return jsonOf(row)
  }
}

function jsonOf(row: unknown): unknown {
  try {
    return JSON.parse(toJsonText(row) ?? 'null')
  } catch {
    return null
  }
}
