import { findExistingKeys, type HotWriter, type OnConflict } from '../hot/index.ts'
import type { DeadReason } from '../ingest/index.ts'
import { type Database, sqlstateOf } from '../postgres/index.ts'
import type { CanonicalRow, StoredDefinition } from '../schema/index.ts'
import { formatInstant, type Instant, parseInstant } from '../time/index.ts'
import { type ErrorParams, isTidemarkError, type TidemarkError } from '../util/errors.ts'
import { maxDeadMessage, maxDeadValue } from './dead-letters.ts'
import { RefusalExplainer } from './refusal-words.ts'
import { storedText } from './stored-text.ts'

/** A row that the database refuses; `at` is its place in the list that was tried. */
export interface Refusal {
  readonly at: number
  /** Null when no single column is to blame. */
  readonly column: string | null
  readonly value: string | null
  readonly reason: DeadReason
  readonly message: string
}

/** Rows of one batch that are looked for one by one; with more the batch is refused as a whole. */
const maxSearched = 100

const reasons: Readonly<Record<string, DeadReason>> = {
  TM_DUPLICATE_KEY: 'duplicate_key',
  TM_CONSTRAINT: 'constraint',
  TM_EXPIRED: 'expired',
  TM_CHUNK_CAP: 'refused',
  TM_COLD: 'refused',
}

/**
 * SQLSTATEs that speak of what is in the rows: data exceptions, constraints, a trigger that raises, values that are too long for
 * an index.
 */
const rowStates = /^(22|23|44|P0|54000$)/

/** Whether the database refuses some of the rows, so that the others can be written without them. */
export function isRefusal(error: unknown): error is TidemarkError {
  if (!isTidemarkError(error)) return false
  if (Object.hasOwn(reasons, error.code)) return true
  return error.code === 'TM_DATABASE' && rowStates.test(sqlstateOf(error) ?? '')
}

/** Rolls back what was only tried. */
class ProbePassed extends Error {}

export interface RefusalSearch {
  readonly db: Database
  readonly writer: HotWriter
  readonly definition: StoredDefinition
  readonly onConflict: OnConflict
  readonly rows: readonly CanonicalRow[]
  /** What the database said to all of them. */
  readonly error: TidemarkError
  readonly signal: AbortSignal | null
}

/**
 * Which rows the database refuses. Those of dropped time and those whose key exists are asked for at once; the others are found
 * by halving, in transactions that are rolled back: about 2 * log2(rows) for each. Empty: none of them alone, and more
 * than `maxSearched` are never looked for.
 */
export async function findRefusals(search: RefusalSearch): Promise<readonly Refusal[]> {
  const { definition, rows, error, db } = search
  const message = storedText(error.message, maxDeadMessage)
  if (error.code === 'TM_EXPIRED' && definition.kind === 'hypertable') {
    const { from, to } = error.params as ErrorParams<'TM_EXPIRED'>
    const [least, end] = [parseInstant(from), parseInstant(to)]
    const place = Object.keys(definition.columns).indexOf(definition.time)
    return placesOf(rows, (row) => (row[place] as Instant) >= least && (row[place] as Instant) < end).map(
      (at) => ({
        at,
        column: definition.time,
        value: formatInstant(rows[at]![place] as Instant),
        reason: 'expired',
        message,
      }),
    )
  }
  if (error.code === 'TM_DUPLICATE_KEY') {
    const existing = await findExistingKeys(db, definition, rows)
    if (existing.length > 0)
      return existing.map((at) => ({
        at,
        column: null,
        value: null,
        reason: 'duplicate_key',
        message: 'a row with the same key exists; use onConflict ignore or update',
      }))
  }
  const explainer = new RefusalExplainer(db, definition)
  const found = (await findByHalves(search)) ?? (await findFirst(search))
  const refusals: Refusal[] = []
  for (const { at, problem } of found) refusals.push(await refusal(explainer, at, problem, rows[at]!))
  return refusals
}

/** A row, and what the database says to it. */
interface Guilty {
  readonly at: number
  readonly problem: TidemarkError
}

/** Rows that are refused even when they are alone; null: there are none. */
async function findByHalves(search: RefusalSearch): Promise<Guilty[] | null> {
  const found: Guilty[] = []
  const look = async (from: number, to: number): Promise<boolean> => {
    const problem = await probe(search, from, to)
    if (problem === null) return true
    if (to - from === 1) {
      found.push({ at: from, problem })
      return found.length <= maxSearched
    }
    const middle = (from + to) >> 1
    return (await look(from, middle)) && (await look(middle, to))
  }
  if (!(await look(0, search.rows.length))) return []
  return found.length > 0 ? found : null
}

/**
 * The first row that is refused after those before it: each alone would do, but two of them exclude each other. (The end of
 * the shortest beginning of the list that is refused.)
 */
async function findFirst(search: RefusalSearch): Promise<Guilty[]> {
  let [good, bad] = [0, search.rows.length]
  let problem = await probe(search, 0, bad)
  if (problem === null) return []
  while (bad - good > 1) {
    const middle = (good + bad) >> 1
    const found = await probe(search, 0, middle)
    if (found === null) good = middle
    else [bad, problem] = [middle, found]
  }
  return [{ at: bad - 1, problem }]
}

async function refusal(
  explainer: RefusalExplainer,
  at: number,
  problem: TidemarkError,
  row: CanonicalRow,
): Promise<Refusal> {
  const words = await explainer.explain(problem, row)
  const { column, value, reason, message } = words ?? {
    column: null,
    value: null,
    reason: reasons[problem.code] ?? 'refused',
    message: problem.message,
  }
  return {
    at,
    column,
    value: value === null ? null : storedText(value, maxDeadValue),
    reason,
    message: storedText(message, maxDeadMessage),
  }
}

/** What the database says to some of the rows, which are not written. */
async function probe(search: RefusalSearch, from: number, to: number): Promise<TidemarkError | null> {
  const { writer, definition, onConflict, signal } = search
  const rows = search.rows.slice(from, to)
  const inTransaction = (): Promise<void> => Promise.reject(new ProbePassed())
  try {
    await writer.insertBatch({ definition, rows, onConflict, inTransaction, signal })
  } catch (error) {
    if (isRefusal(error)) return error
    if (!(error instanceof ProbePassed)) throw error
  }
  return null
}

function placesOf(rows: readonly CanonicalRow[], isMeant: (row: CanonicalRow) => boolean): number[] {
  const places: number[] = []
  rows.forEach((row, at) => {
    if (isMeant(row)) places.push(at)
  })
  return places
}
