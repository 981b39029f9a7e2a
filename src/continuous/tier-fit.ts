import { states as algebra } from '../aggregate/index.ts'
import {
  type BucketPlan,
  type ColumnRef,
  type Coverage,
  canonicalFilter,
  everything,
  type FilterNode,
  type Fit,
  intersect,
  type Materialization,
  type ScanRequest,
  stateRequestKey,
} from '../query/index.ts'
import {
  type BucketSpec,
  bucketStart,
  fixedBucket,
  formatInstant,
  type Instant,
  nextBucket,
  type TimeRange,
} from '../time/index.ts'
import { lostBefore } from './expired.ts'
import type { HeldAggregates, HeldVersion } from './tier-catalog.ts'
import { unionOf } from './validity.ts'

/**
 * What cells of a version have for a request. Everything here is a pure function: a cell is used whole or not at all, and only where
 * it is valid in the snapshot.
 */

/**
 * @param isNamed The query names this aggregate: its cells of dropped chunks are the answer there, whatever is written later. Other
 * aggregates may know less of that time.
 */
export function fitCells(
  request: ScanRequest,
  held: HeldAggregates,
  mine: HeldVersion,
  isNamed: boolean,
): Fit {
  const { materialization } = mine.version
  const range = request.range ?? everything
  const tenants = pinnedTenants(request.where, materialization)
  const valid = validStretches(mine, range, { tenants, isNamed })
  const usable = isNamed ? valid : valid.flatMap((stretch) => subtract(stretch, held.dropped))
  const whole = usable.flatMap((stretch) => wholeBuckets(stretch, materialization.bucket))
  const coverageIn = (stretches: readonly TimeRange[]): readonly Coverage[] =>
    stretches
      .flatMap((stretch) => wholeBuckets(stretch, materialization.bucket))
      .map((stretch) => coverageOf(mine, stretch))
  const within = (part: TimeRange): readonly Coverage[] =>
    coverageIn(whole.flatMap((stretch) => intersect(stretch, part) ?? []))
  // of a bucket that is half gone, others have the other half
  const own = (part: TimeRange): readonly Coverage[] =>
    coverageIn(
      whole.flatMap((stretch) =>
        mine.frozen.flatMap((gone) => {
          const both = intersect(stretch, gone)
          return (both && intersect(both, part)) ?? []
        }),
      ),
    )
  const coverage = within(range)
  const cannot =
    rightsMissing(held, mine) ??
    cannotAnswer(request, materialization) ??
    bordersMisfit(request.bucket, range, materialization.bucket) ??
    (isNamed ? raggedInDropped(usable, range, held, materialization.bucket) : null)
  if (cannot === null) {
    const notes = [noteOf(mine, range, valid, whole), isNamed ? lostNote(mine, range) : null]
    return {
      coverage,
      within,
      ...(isNamed ? { own } : {}),
      cannot,
      note: notes.filter((note) => note !== null).join('; ') || null,
    }
  }
  // What cells cannot answer rows do; only where those are gone there is nobody else.
  const gone = isNamed ? mine.frozen.flatMap(within) : []
  return { coverage: gone, within: () => gone, cannot, note: null }
}

/** What it holds whatever is asked. */
export function coverageWithin(
  held: HeldAggregates,
  mine: HeldVersion,
  range: TimeRange,
  isNamed: boolean,
): readonly Coverage[] {
  if (rightsMissing(held, mine) !== null) return []
  const valid = validStretches(mine, range, { tenants: null, isNamed })
  const usable = isNamed ? valid : valid.flatMap((stretch) => subtract(stretch, held.dropped))
  return usable
    .flatMap((stretch) => wholeBuckets(stretch, mine.version.materialization.bucket))
    .map((stretch) => coverageOf(mine, stretch))
}

function coverageOf({ cellsPerMicro }: HeldVersion, range: TimeRange): Coverage {
  const estimatedRows = Math.ceil(cellsPerMicro * Number(range.to - range.from))
  return { range, holds: 'all', estimatedRows, pieces: 1 }
}

function rightsMissing({ seesAll }: HeldAggregates, { validity, version }: HeldVersion): string | null {
  if (!seesAll)
    return `the role may not see every row of ${version.materialization.base.name}, and cells are of all rows`
  return validity.isReadable ? null : 'the role may not read its cells'
}

/** Why its states cannot be made into those of the request, whatever the time. */
export function cannotAnswer(request: ScanRequest, { keys, where, states }: Materialization): string | null {
  const isKey = (ref: ColumnRef): boolean => keyIndex(keys, ref) >= 0
  const other = request.by.find(({ ref }) => !isKey(ref))
  if (other) return `it does not keep ${showRef(other.ref)} apart`
  const asked = conjuncts(request.where)
  const held = new Set(conjuncts(where).map(canonicalFilter))
  const missing = [...held].some((one) => !asked.some((filter) => canonicalFilter(filter) === one))
  if (missing) return 'it holds only the rows of its own where, and the query has others'
  for (const filter of asked) {
    if (held.has(canonicalFilter(filter))) continue
    const refused = refusedRef(filter, isKey)
    if (refused) return refused
  }
  const kept = new Set(states.map(stateRequestKey))
  const absent = request.states.find((state) => !kept.has(stateRequestKey(state)))
  if (!absent) return interleaved(request, keys, asked)
  const what = absent.ref ? ` of ${showRef(absent.ref)}` : ''
  return `it does not keep ${absent.spec.kind}${what}${absent.where ? ' of the rows that are asked for' : ''}`
}

/**
 * Cells that are merged into one have to hold readings of series of their own where a state depends on their order in time: each key
 * that the query does not keep apart tells series apart, or has one value.
 */
function interleaved(
  { by, states }: ScanRequest,
  keys: Materialization['keys'],
  asked: readonly FilterNode[],
): string | null {
  const merged = keys.filter(
    (key) =>
      keyIndex(by, key.ref) < 0 &&
      !asked.some(
        (filter) =>
          filter.kind === 'compare' && filter.operator === 'eq' && keyIndex([key], filter.ref) === 0,
      ),
  )
  for (const { spec, series } of states) {
    if (!algebra[spec.kind].ordered) continue
    const among = merged.find(({ ref }) => ref.path.length > 0 || !series?.includes(ref.column))
    if (among)
      return `its cells are apart by ${showRef(among.ref)}, and readings of one series lie in several of them`
  }
  return null
}

/** A key of a JSON path is text, which does not tell 1 from "1": only whether it is there can be asked of it. */
function refusedRef(filter: FilterNode, isKey: (ref: ColumnRef) => boolean): string | null {
  switch (filter.kind) {
    case 'and':
    case 'or':
      for (const inner of filter.filters) {
        const refused = refusedRef(inner, isKey)
        if (refused) return refused
      }
      return null
    case 'not':
      return refusedRef(filter.filter, isKey)
    default:
      if (!isKey(filter.ref))
        return `it cannot be filtered by ${showRef(filter.ref)}, which is none of its keys`
      if (filter.ref.path.length > 0 && filter.kind !== 'isNull')
        return `it keeps ${showRef(filter.ref)} as text, which a filter of JSON values cannot look at`
      return null
  }
}

export function keyIndex(keys: Materialization['keys'], { column, path }: ColumnRef): number {
  return keys.findIndex(
    ({ ref }) =>
      ref.column === column &&
      ref.path.length === path.length &&
      ref.path.every((step, i) => step === path[i]),
  )
}

/** Conditions that hold all together. */
export function conjuncts(filter: FilterNode | null): readonly FilterNode[] {
  if (filter === null) return []
  return filter.kind === 'and' ? filter.filters.flatMap(conjuncts) : [filter]
}

function showRef({ column, path }: ColumnRef): string {
  return [column, ...path].join('.')
}

/** Tenants as the change log writes them; null: all. Only of types that have one text. */
function pinnedTenants(where: FilterNode | null, { base }: Materialization): ReadonlySet<string> | null {
  const { tenant } = base
  if (tenant === null) return null
  const type = base.columns[tenant]?.type
  if (type !== 'text' && type !== 'int2' && type !== 'int4' && type !== 'int8') return null
  for (const filter of conjuncts(where)) {
    if ((filter.kind !== 'compare' && filter.kind !== 'in') || filter.ref.column !== tenant) continue
    if (filter.kind === 'in') return new Set(filter.values.map(String))
    if (filter.operator === 'eq') return new Set([String(filter.value)])
  }
  return null
}

function validStretches(
  { validity, frozen }: HeldVersion,
  range: TimeRange,
  { tenants, isNamed }: { readonly tenants: ReadonlySet<string> | null; readonly isNamed: boolean },
): readonly TimeRange[] {
  const mine = validity.invalid.filter(({ tenant }) => tenant === null || (tenants?.has(tenant) ?? true))
  const invalid = unionOf(mine)
  return subtract(range, isNamed ? invalid.flatMap((one) => subtract(one, frozen)) : invalid)
}

/** What is left of a range; `holes` are ascending and do not overlap. */
function subtract(range: TimeRange, holes: readonly TimeRange[]): readonly TimeRange[] {
  const left: TimeRange[] = []
  let { from } = range
  for (const hole of holes) {
    if (hole.to <= from) continue
    if (hole.from >= range.to) break
    if (hole.from > from) left.push({ from, to: hole.from })
    from = hole.to
  }
  if (from < range.to) left.push({ from, to: range.to })
  return left
}

/** The whole buckets inside of a stretch; an open end stays open. */
function wholeBuckets({ from, to }: TimeRange, spec: BucketSpec): readonly TimeRange[] {
  const begin = from === everything.from ? from : firstBorder(spec, from)
  const end = to === everything.to ? to : bucketStart(spec, to)
  return begin < end ? [{ from: begin, to: end }] : []
}

function firstBorder(spec: BucketSpec, instant: Instant): Instant {
  const start = bucketStart(spec, instant)
  return start === instant ? start : nextBucket(spec, instant)
}

/**
 * Every border of the request inside of the range has to be one of the cells', or a cell would belong to two buckets. Where both are
 * regular that is arithmetic; otherwise each border is looked at.
 */
function bordersMisfit(plan: BucketPlan | null, range: TimeRange, spec: BucketSpec): string | null {
  if (plan === null) return null
  const isOpen = range.from === everything.from || range.to === everything.to
  const fine = fixedBucket(spec) ?? (isOpen ? null : fixedBucket(spec, range))
  if (plan.kind === 'fixed') {
    const { width, origin } = plan
    if (fine) {
      if (width % fine.width !== 0n) return `${widthText(spec)} do not divide those of the query`
      if ((origin - fine.origin) % fine.width === 0n) return null
      return misplaced(spec, isOpen ? origin : ceilTo(range.from, width, origin))
    }
    if (isOpen) return `${widthText(spec)} are irregular, and the range of the query has no ends`
    for (let border = ceilTo(range.from, width, origin); border < range.to; border += width)
      if (bucketStart(spec, border) !== border) return misplaced(spec, border)
    return null
  }
  for (const border of plan.borders) {
    if (border <= range.from || border >= range.to) continue
    const isOurs = fine ? (border - fine.origin) % fine.width === 0n : bucketStart(spec, border) === border
    if (!isOurs) return misplaced(spec, border)
  }
  return null
}

function ceilTo(instant: Instant, width: bigint, origin: Instant): Instant {
  const rest = (instant - origin) % width
  return rest === 0n ? instant : instant + (rest > 0n ? width - rest : -rest)
}

function widthText({ every, zone }: BucketSpec): string {
  return `its buckets of '${every.text}'${zone === null ? '' : ` in ${zone}`}`
}

function misplaced(spec: BucketSpec, border: Instant): string {
  return `a bucket of the query begins at ${formatInstant(border)}, inside of one of ${widthText(spec)}`
}

/** The ends of a range that begin inside of a bucket are read from rows, which are gone here. */
function raggedInDropped(
  usable: readonly TimeRange[],
  range: TimeRange,
  { dropped }: HeldAggregates,
  spec: BucketSpec,
): string | null {
  for (const stretch of usable)
    for (const edge of subtract(stretch, wholeBuckets(stretch, spec))) {
      const isOfQuery = edge.from === range.from || edge.to === range.to
      if (isOfQuery && dropped.some((gone) => intersect(gone, edge)))
        return `${widthText(spec)} do not begin where the query does, and the rows of that time are gone`
    }
  return null
}

/** What nobody answers. */
function lostNote({ version, frozen }: HeldVersion, range: TimeRange): string | null {
  const before = lostBefore(version, frozen, range)
  const { retain } = version.materialization.definition
  return before === null
    ? null
    : `before ${formatInstant(before)} its cells have expired${retain ? ` (retain '${retain.text}')` : ''}, and the rows are gone`
}

/** What the cells do not answer of the range, in words. */
function noteOf(
  { validity }: HeldVersion,
  range: TimeRange,
  valid: readonly TimeRange[],
  whole: readonly TimeRange[],
): string | null {
  if (validity.startOver === 'new') return 'nothing of it has been computed yet'
  if (validity.startOver !== null)
    return `its place in the change log says nothing about this database (${validity.startOver}): a refresh computes it anew`
  const notes: string[] = []
  const only = valid[0]
  const open = validity.invalid.find((one) => one.range.to >= everything.to)?.range.from
  if (valid.length === 1 && only?.from === range.from && only.to === open && validity.missed === 0n)
    notes.push(`what comes after ${formatInstant(open)} has not been computed yet`)
  else if (valid.length !== 1 || only?.from !== range.from || only.to !== range.to)
    notes.push('rows have been written since its refresh')
  if (whole.length > 0 && whole.length === valid.length && ragged(valid, whole))
    notes.push('the ends are no whole buckets')
  return notes.length === 0 ? null : `${notes.join('; ')}: that is read from rows`
}

function ragged(valid: readonly TimeRange[], whole: readonly TimeRange[]): boolean {
  return valid[0]?.from !== whole[0]?.from || valid.at(-1)?.to !== whole.at(-1)?.to
}
