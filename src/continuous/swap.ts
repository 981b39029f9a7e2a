import type { AggregateState } from '../aggregate/index.ts'
import { dropConsumer, timestamptzText } from '../changelog/index.ts'
import { snapshotOf } from '../hot/index.ts'
import { type Connection, isRetryable, retry } from '../postgres/index.ts'
import {
  type Cell,
  type FilterNode,
  type FilterValue,
  type GroupNode,
  keyText,
  readCells,
  type StateRequest,
  stateRequestKey,
} from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { formatInstant, type Instant, nextBucket, type TimeRange } from '../time/index.ts'
import { identifier, join, type Sql, sql } from '../util/sql.ts'
import { bucketColumn, cellTableOf } from './cell-table.ts'
import { cellRelation } from './cells.ts'
import { compareStates, isWithinRounding } from './compare-states.ts'
import { expiredKey } from './expired.ts'
import { readFrozen } from './invalid.ts'
import { subtract, workOf } from './invalid-ranges.ts'
import type { RefreshContext } from './refresh-version.ts'
import { lookUpCells, sampleCells, touches } from './swap-sample.ts'
import { readValidity, unionOf, type VersionValidity } from './validity.ts'
import { type AggregateVersion, consumerOf, sameShape } from './version.ts'
import { viewOf } from './view.ts'
import { replaceView } from './view-replace.ts'

export interface SwapOutcome {
  readonly kind: 'swapped' | 'waiting' | 'different'
  /** Why not; null when it was swapped. */
  readonly problem: string | null
  /** Buckets of which cells were compared. */
  readonly compared: number
}

export interface SwapVersions {
  readonly building: AggregateVersion
  readonly current: AggregateVersion | null
}

/** Sums that the rows are asked about; others are taken for rounding, too. */
const maxSpreads = 100

/**
 * Puts a version that has caught up in the place of the current one, in one transaction: states that both keep are compared over a
 * sample of cells; cells of buckets whose rows are gone are taken from the current one. The view becomes that of the new version.
 *
 * Both versions are locked against refreshes and late rows that are merged into cells; readers do not notice.
 */
export async function swapVersion(
  context: RefreshContext,
  versions: SwapVersions,
  signal: AbortSignal | null,
): Promise<SwapOutcome> {
  const { building, current } = versions
  const what = `swapping in the new version of ${building.name}`
  const outcome = await retry({ what, signal, isRetryable }, () =>
    context.db.transaction({ mode: 'repeatable read', signal, lockTimeoutMs: 1000 }, async (connection) => {
      const ids = [building.id, ...(current ? [current.id] : [])]
      const { rows: locked } = await connection.query(sql`
        select from tidemark.aggregate_version
        where id = any(${ids}::int4[]) and state <> 'retired'
        order by id
        for update`)
      if (locked.length < ids.length) return waiting('another process has swapped it')
      const frozen = await readFrozen(connection, building)
      if (current) {
        const validity = await readValidity(
          (statement) => connection.query(statement),
          [building, current],
          null,
        )
        const [ours, theirs] = validity as [VersionValidity, VersionValidity]
        const lag = lagBehind(ours, theirs)
        if (lag !== null) return waiting(lag)
        const spreadOf = createSpreadOf(context, connection, building, signal)
        const sample = await compareSample(
          connection,
          { building, current },
          [ours, theirs],
          frozen,
          spreadOf,
        )
        if (sample.problem !== null) return { kind: 'different' as const, ...sample }
        await takeFrozen(connection, { building, current }, frozen)
        await retire(connection, current)
        await makeCurrent(connection, building)
        return { kind: 'swapped' as const, ...sample }
      }
      await makeCurrent(connection, building)
      return { kind: 'swapped' as const, problem: null, compared: 0 }
    }),
  )
  if (outcome.kind === 'different' && outcome.problem !== null)
    await context.raise?.({
      kind: 'new version',
      dataset: building.name,
      fingerprint: String(building.id),
      detail: { problem: outcome.problem },
    })
  return outcome
}

function waiting(problem: string): SwapOutcome {
  return { kind: 'waiting', problem, compared: 0 }
}

/** What the one has still to compute that the other one has; null: nothing. */
function lagBehind(ours: VersionValidity, theirs: VersionValidity): string | null {
  if (ours.startOver !== null) return 'it has not begun yet'
  const wanting = subtract(unionOf(workOf(ours.invalid).closed), unionOf(theirs.invalid))
  const first = wanting[0]
  return first ? `it is not valid yet from ${formatInstant(first.from)} to ${formatInstant(first.to)}` : null
}

interface Shared {
  readonly key: string
  /** Place in each of the two. */
  readonly ours: number
  readonly theirs: number
}

function sharedStates({
  building,
  current,
}: {
  building: AggregateVersion
  current: AggregateVersion
}): Shared[] {
  const theirs = new Map(current.materialization.states.map((request, i) => [stateRequestKey(request), i]))
  return building.materialization.states.flatMap((request, ours) => {
    const key = stateRequestKey(request)
    const place = theirs.get(key)
    return place === undefined ? [] : [{ key, ours, theirs: place }]
  })
}

async function compareSample(
  connection: Connection,
  { building, current }: { building: AggregateVersion; current: AggregateVersion },
  validity: readonly VersionValidity[],
  frozen: readonly TimeRange[],
  spreadOf: SpreadOf,
): Promise<{ readonly problem: string | null; readonly compared: number }> {
  const shared = sharedStates({ building, current })
  if (!sameShape(building, current) || shared.length === 0) return { problem: null, compared: 0 }
  const { bucket } = current.materialization
  const unsure = [...validity.flatMap(({ invalid }) => invalid.map(({ range }) => range)), ...frozen]
  const isUnsure = (from: Instant): boolean => touches(unsure, { from, to: nextBucket(bucket, from) })
  const places = await sampleCells(connection, [building, current], isUnsure)
  const ours = await lookUpCells(connection, building, places)
  const theirs = await lookUpCells(connection, current, places)
  const problem = await firstDifference(building, shared, ours, theirs, spreadOf)
  return {
    compared: new Set(places.map(({ bucket: from }) => from)).size,
    problem:
      problem === null
        ? null
        : `its new version is not what the current one is (${problem}), so it was not swapped in; compare both with the raw rows, and tell us`,
  }
}

/** Moments of the values that went into a state of a cell, from the rows; null: they are not there. `enough`: too many were asked for. */
type SpreadOf = (cell: Cell, state: StateRequest) => Promise<AggregateState | 'enough' | null>

function createSpreadOf(
  { db, tiers, clock, limits }: RefreshContext,
  connection: Connection,
  { name, materialization }: AggregateVersion,
  signal: AbortSignal | null,
): SpreadOf {
  const { base, bucket, keys, where } = materialization
  let lent: ReturnType<typeof snapshotOf> | null = null
  let asked = 0
  return async ({ bucket: from, keys: values }, { spec, ref, where: filter }) => {
    if (from === null) return null
    if (++asked > maxSpreads) return 'enough'
    lent ??= snapshotOf(db, connection, { dataset: base, signal })
    const spread: StateRequest = {
      spec: { kind: 'moments', input: spec.input, borders: null },
      ref,
      where: filter,
    }
    const range = { from, to: nextBucket(bucket, from) }
    const { cells } = await readCells(
      { dataset: base, bucket, by: keys, where: ofKeys(keys, values, base, where), states: [spread], range },
      { tiers: tiers.filter((tier) => tier.name !== name), snapshot: await lent, clock, signal, limits },
    )
    const wanted = values.map(keyText).join(' ')
    return cells.find(({ keys: found }) => found.map(keyText).join(' ') === wanted)?.states[0] ?? null
  }
}

/** Rows of one cell; of keys that a filter cannot name all values. */
function ofKeys(
  keys: readonly GroupNode[],
  values: Cell['keys'],
  base: HypertableDefinition,
  where: FilterNode | null,
): FilterNode {
  const own = keys.flatMap(({ ref }, i): FilterNode[] => {
    const value = values[i] ?? null
    // a path of JSON is grouped by its text, and compared by its value
    if (ref.path.length > 0 || base.columns[ref.column]?.type === 'text[]') return []
    if (value === null) return [{ kind: 'isNull', ref }]
    return [{ kind: 'compare', ref, operator: 'eq', value: value as FilterValue }]
  })
  return { kind: 'and', filters: where === null ? own : [where, ...own] }
}

async function firstDifference(
  { materialization }: AggregateVersion,
  shared: readonly Shared[],
  ours: ReadonlyMap<string, Cell>,
  theirs: ReadonlyMap<string, Cell>,
  spreadOf: SpreadOf,
): Promise<string | null> {
  for (const name of new Set([...ours.keys(), ...theirs.keys()])) {
    const [mine, other] = [ours.get(name), theirs.get(name)]
    if (!mine || !other) return `${name} is only in the ${mine ? 'new' : 'current'} one`
    for (const { ours: a, theirs: b } of shared) {
      const request = materialization.states[a]!
      const [x, y] = [mine.states[a] as AggregateState, other.states[b] as AggregateState]
      const comparison = compareStates(request.spec, x, y)
      if (comparison === 'same') continue
      if (comparison === 'rounding') {
        const spread = await spreadOf(mine, request)
        if (spread === 'enough' || (spread !== null && isWithinRounding(x, y, spread))) continue
      }
      const output = materialization.outputs.find(({ state }) => state === a)?.name ?? String(a)
      return `${name}: "${output}" is ${show(x)}, and was ${show(y)}`
    }
  }
  return null
}

function show(state: unknown): string {
  return JSON.stringify(state, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  ).slice(0, 200)
}

/**
 * Cells of buckets whose rows are gone are those of the current version, in its last moment: late rows may have been merged into
 * them. States that it does not keep are not known there, and an answer says so. A version of other cells has inherited what it can.
 */
async function takeFrozen(
  connection: Connection,
  { building, current }: { building: AggregateVersion; current: AggregateVersion },
  frozen: readonly TimeRange[],
): Promise<void> {
  const last = frozen.at(-1)
  if (!last || !sameShape(building, current)) return
  const shared = sharedStates({ building, current })
  const unknown: Record<string, string> = {}
  building.materialization.states.forEach((_, place) => {
    const kept = shared.find(({ ours }) => ours === place)
    const before = kept ? current.unknownBefore.get(kept.theirs) : last.to
    if (before !== undefined) unknown[place] = formatInstant(before)
  })
  if (current.expiredBefore !== null) unknown[expiredKey] = formatInstant(current.expiredBefore)
  await connection.query(sql`
    update tidemark.aggregate_version
    set unknown_before = ${JSON.stringify(unknown)}::jsonb
    where id = ${building.id}::int4`)
  const [to, from] = [cellTableOf(building.materialization), cellTableOf(current.materialization)]
  const pairs: (readonly [string, string])[] = [
    [bucketColumn, bucketColumn],
    ...to.keys.map(({ column }, i) => [column, from.keys[i]!.column] as const),
    ...shared.flatMap(({ ours, theirs }) =>
      to.states[ours]!.columns.map(
        ({ column }, i) => [column, from.states[theirs]!.columns[i]!.column] as const,
      ),
    ),
  ]
  const names = (which: 0 | 1): Sql =>
    join(
      pairs.map((pair) => identifier(pair[which])),
      ', ',
    )
  for (const range of frozen) {
    const within = sql`${identifier(bucketColumn)} >= ${timestamptzText(range.from)}::timestamptz and ${identifier(bucketColumn)} < ${timestamptzText(range.to)}::timestamptz`
    await connection.query(sql`delete from ${cellRelation(building)} where ${within}`)
    await connection.query(sql`
      insert into ${cellRelation(building)} (${names(0)})
      select ${names(1)} from ${cellRelation(current)} where ${within}`)
  }
}

async function retire(connection: Connection, version: AggregateVersion): Promise<void> {
  await dropConsumer(connection, consumerOf(version))
  await connection.query(sql`delete from tidemark.aggregate_invalid where version_id = ${version.id}::int4`)
  await connection.query(sql`
    update tidemark.aggregate_version
    set state = 'retired', epoch = epoch + 1
    where id = ${version.id}::int4`)
}

async function makeCurrent(connection: Connection, version: AggregateVersion): Promise<void> {
  await connection.query(sql`
    update tidemark.aggregate_version
    set state = 'current', current_since = now(), epoch = epoch + 1
    where id = ${version.id}::int4`)
  const { materialization, relation, dimensions } = version
  await replaceView(connection, materialization.definition, viewOf(materialization, relation, dimensions))
}
