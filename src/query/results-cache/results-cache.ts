import type { HypertableDefinition } from '../../schema/index.ts'
import type { Instant, TimeRange } from '../../time/index.ts'
import { roundMs, showRange } from '../answer.ts'
import { planBuckets } from '../bucket-plan.ts'
import { canonicalFilter } from '../canonical.ts'
import type { InnerRow } from '../fill.ts'
import { assertWithin } from '../limits.ts'
import type { AggregateQueryNode } from '../nodes.ts'
import { keyOrder } from '../order-rows.ts'
import { planStates, stateRequestKey } from '../plan-states.ts'
import { readStretchCells } from '../read-cells.ts'
import {
  type CellRequest,
  type KeptCells,
  type QueryContext,
  type Reading,
  type ResultsCache,
  settleAll,
} from '../read-parts.ts'
import { type Cell, everything, type ScanContext } from '../tier.ts'
import { type BucketRow, bucketRow, maxStretches, unknownBuckets, unknownStretches } from './bucket-row.ts'
import { type ChangeView, type ChangeWatch, touches } from './change-watch.ts'
import { type KeptBucket, KeptBuckets, type KeptCounts } from './store.ts'

/** A cache that tells what it holds. */
export interface CountingResultsCache extends ResultsCache {
  readonly counts: KeptCounts
}

/**
 * Keeps the partial states of whole buckets in this process, and uses them again in every snapshot in which they are certainly
 * what a read would give: docs/design/results-cache.md.
 *
 * @example createResultsCache({ memoryBytes: 64 * 1024 * 1024, watch: createChangeWatch() })
 */
export function createResultsCache(options: {
  readonly memoryBytes: number
  readonly watch: ChangeWatch
}): CountingResultsCache {
  const kept = new KeptBuckets(options.memoryBytes)
  return {
    get counts() {
      return kept.counts
    },
    begin(node, context) {
      const { dataset, bucket, range, dimensions = [] } = node
      if (dataset.kind !== 'hypertable' || bucket === null) return null
      // their cells are merged again by what plain tables say, which uses the states up
      if (dimensions.length > 0) return null
      if (range === null || range.from === everything.from) return null
      return new KeptReading(kept, options.watch, { ...node, dataset, range }, context)
    },
  }
}

/** A bucket that was touched within so many moments is being written: it is not worth its memory. */
const restlessMoments = 8

interface Lookup {
  readonly row: BucketRow
  /** By the place in the row. */
  readonly buckets: readonly (KeptBucket | null)[]
}

class KeptReading implements KeptCells {
  readonly #kept: KeptBuckets
  readonly #watch: ChangeWatch
  readonly #node: AggregateQueryNode & { readonly dataset: HypertableDefinition; readonly range: TimeRange }
  readonly #context: QueryContext
  readonly #scan: ScanContext
  readonly #use: number
  readonly #computed: { readonly question: string; readonly bucket: KeptBucket }[] = []
  #view: Promise<ChangeView | null> | null = null
  /** What `cells` gave last, with the kept buckets among it: where their cells begin. */
  #given: { readonly cells: readonly Cell[]; readonly kept: readonly KeptPlace[] } | null = null
  /** All of the answer, as it was right when it was looked at; later it may be gone, and no tier has been asked. */
  #whole: Lookup | null = null

  constructor(
    kept: KeptBuckets,
    watch: ChangeWatch,
    node: AggregateQueryNode & { readonly dataset: HypertableDefinition; readonly range: TimeRange },
    context: QueryContext,
  ) {
    this.#kept = kept
    this.#watch = watch
    this.#node = node
    this.#context = context
    this.#scan = { snapshot: context.snapshot, signal: context.signal }
    this.#use = kept.nextUse()
  }

  /** Whether all of the answer is kept, so that no tier has to be asked anything. */
  async isWhole(): Promise<boolean> {
    const node = this.#node
    if (node.limit !== null || node.bucket === null || node.range.to === everything.to) return false
    const bucket = planBuckets(node.bucket, node.range, this.#context.limits.maxBuckets)
    const row = bucketRow(bucket, node.range, this.#context.clock.now())
    if (row === null) return false
    const question = this.#question({ ...node, states: planStates(node).states })
    const found = this.#find(question, row)
    if (unknownStretches(row, (i) => found.buckets[i] !== null).length > 0) return false
    const view = await this.#look()
    const hits = found.buckets.map((known) => this.#checked(question, known, view))
    if (hits.includes(null)) return false
    this.#whole = { row, buckets: hits }
    return true
  }

  /** The cells of a stretch, from what is kept as far as it is right in the snapshot, the rest from the tiers. */
  async cells(reading: Reading, range: TimeRange | null, request: CellRequest): Promise<readonly Cell[]> {
    if (this.#whole) return this.#join(reading, this.#whole, [], '', null)
    const { bucket } = request
    const row = range && bucket && bucketRow(bucket, range, this.#context.clock.now())
    if (!row) return readStretchCells(reading, range, request)
    const question = this.#question(request)
    const found = this.#find(question, row)
    // what is kept is presumed to be right while the snapshot is asked
    const presumed = unknownStretches(row, (i) => found.buckets[i] !== null)
    const looking = this.#look()
    const [, ...first] = await settleAll<ChangeView | null | Stretch>([
      () => looking,
      ...presumed.map((stretch) => () => readStretch(reading, stretch, request)),
    ])
    const view = await looking
    const checking = performance.now()
    const hits = found.buckets.map((known) => this.#checked(question, known, view))
    let read = first as Stretch[]
    const isThere = (i: number): boolean =>
      hits[i] !== null || isInside(read, row.borders[i] as Instant, row.borders[i + 1] as Instant)
    const missing = unknownBuckets(row, isThere)
    reading.stages.read += performance.now() - checking
    // so scattered that all of it is read again sooner
    if (missing.length > maxStretches) read = [await readStretch(reading, row.range, request)]
    else
      read.push(...(await settleAll(missing.map((stretch) => () => readStretch(reading, stretch, request)))))
    const merging = performance.now()
    const cells = this.#join(reading, { row, buckets: hits }, read, question, view)
    assertWithin(
      'the number of cells (buckets x groups)',
      cells.length,
      request.maxCells,
      'ask for a wider bucket, a shorter range, fewer groups or a narrower filter, or raise limits.maxCells',
    )
    reading.stages.merge += performance.now() - merging
    return cells
  }

  /** Each of the cells that it has just given, finished: for those that were kept it is remembered what was made of them. */
  finish(cells: readonly Cell[], outputs: string, toRow: (cell: Cell) => InnerRow): readonly InnerRow[] {
    const given = this.#given
    if (given?.cells !== cells) return cells.map(toRow)
    const rows: InnerRow[] = []
    for (const { bucket, at } of given.kept) {
      while (rows.length < at) rows.push(toRow(cells[rows.length] as Cell))
      if (bucket.finished?.outputs !== outputs) {
        const made = bucket.cells.map(toRow)
        for (const row of made) rows.push(row)
        if (made.every(isPlain)) this.#kept.rememberFinished(bucket, outputs, made)
      } else for (const row of bucket.finished.rows) rows.push(row)
    }
    while (rows.length < cells.length) rows.push(toRow(cells[rows.length] as Cell))
    return rows
  }

  /** What was computed is kept: once the answer is known to rest on what the snapshot sees, never before. */
  keep(): void {
    for (const { question, bucket } of this.#computed)
      if (!this.#kept.keep(question, bucket, this.#use)) break
    this.#computed.length = 0
  }

  #look(): Promise<ChangeView | null> {
    this.#view ??= this.#watch.look(this.#node.dataset, this.#scan)
    return this.#view
  }

  /** Equal for questions whose buckets have the same cells. */
  #question({ by, where, states }: Pick<CellRequest, 'by' | 'where' | 'states'>): string {
    const { dataset, bucket, of } = this.#node
    const { every, zone } = bucket as NonNullable<AggregateQueryNode['bucket']>
    const width = every.kind === 'fixed' ? String(every.micros) : [every.months, every.days]
    return JSON.stringify([
      dataset.name,
      of?.name,
      width,
      zone,
      by.map(({ ref }) => [ref.column, ref.path]),
      canonicalFilter(where),
      states.map(stateRequestKey),
    ])
  }

  #find(question: string, row: BucketRow): Lookup {
    const known = this.#kept.of(question)
    const count = row.borders.length - 1
    const buckets: (KeptBucket | null)[] = new Array(count).fill(null)
    if (known) for (let i = 0; i < count; i++) buckets[i] = known.get(row.borders[i] as Instant) ?? null
    return { row, buckets }
  }

  #checked(question: string, known: KeptBucket | null, view: ChangeView | null): KeptBucket | null {
    if (known === null || view === null) return null
    if (isRight(known, view)) {
      if (view.isMoment && known.moment < view.moment) known.moment = view.moment
      this.#kept.use(known, this.#use)
      return known
    }
    // an older snapshot that sees something else says nothing about the present
    if (known.history !== view.history || (view.isMoment && known.moment < view.moment))
      this.#kept.drop(question, known)
    return null
  }

  /** Cells in the order of their buckets; each bucket either from what is kept or from what was read. */
  #join(
    reading: Reading,
    { row, buckets }: Lookup,
    read: readonly Stretch[],
    question: string,
    view: ChangeView | null,
  ): readonly Cell[] {
    const pieces: Piece[] = [...read]
    const { borders } = row
    let hits = 0
    let run: KeptRun | null = null
    for (let i = 0; i < buckets.length; i++) {
      const bucket = buckets[i]
      if (!bucket || isInside(read, bucket.from, bucket.to)) {
        run = null
        continue
      }
      hits += 1
      const to = borders[i + 1] as Instant
      if (run === null) {
        run = { from: bucket.from, to, cells: [], kept: [], oldestMs: bucket.computedMs }
        pieces.push(run)
      }
      run.to = to
      run.oldestMs = Math.min(run.oldestMs, bucket.computedMs)
      run.kept.push(bucket)
      for (const cell of bucket.cells) run.cells.push(cell)
    }
    this.#kept.count(hits, buckets.length - hits)
    if (view?.isMoment && reading.unknown.size === 0) this.#note(row, read, question, view)
    pieces.sort((a, b) => (a.from < b.from ? -1 : 1))
    const places: KeptPlace[] = []
    let at = 0
    for (const piece of pieces) {
      let begin = at
      for (const bucket of piece.kept ?? []) {
        places.push({ bucket, at: begin })
        begin += bucket.cells.length
      }
      if (piece.kept) noteKept(reading, piece as KeptRun)
      at += piece.cells.length
    }
    const [only] = pieces
    const cells = pieces.length === 1 && only ? only.cells : pieces.flatMap((piece) => piece.cells)
    this.#given = { cells, kept: places }
    return cells
  }

  /** Whole buckets that were read, and that nobody seems to be writing. */
  #note({ borders }: BucketRow, read: readonly Stretch[], question: string, view: ChangeView): void {
    const { history, moment, unwatched } = view
    const restless = view.changedSince(Math.max(0, moment - restlessMoments))
    if (restless === null || read.length === 0) return
    const computedMs = performance.now()
    const byBucket = new Map<Instant, Cell[]>()
    for (const { cells } of read)
      for (const cell of cells) {
        const others = byBucket.get(cell.bucket as Instant)
        if (others) others.push(cell)
        else byBucket.set(cell.bucket as Instant, [cell])
      }
    const order = keyOrder(this.#node)
    for (let i = 0; i + 1 < borders.length; i++) {
      const from = borders[i] as Instant
      const to = borders[i + 1] as Instant
      if (!isInside(read, from, to) || touches(unwatched, from, to) || touches(restless, from, to)) continue
      // as answers have them, so that those of kept buckets need no sorting
      const cells = (byBucket.get(from) ?? []).sort((a, b) => order(a.keys, b.keys))
      this.#computed.push({ question, bucket: { from, to, cells, history, moment, computedMs } })
    }
  }
}

interface Stretch extends TimeRange {
  readonly cells: readonly Cell[]
}

/** Kept buckets that follow each other. */
interface KeptRun {
  readonly from: Instant
  to: Instant
  readonly cells: Cell[]
  readonly kept: KeptBucket[]
  oldestMs: number
}

interface Piece {
  readonly from: Instant
  readonly cells: readonly Cell[]
  /** Absent: it was read. */
  readonly kept?: readonly KeptBucket[]
}

/** A kept bucket in a list of cells: its own begin at `at`. */
interface KeptPlace {
  readonly bucket: KeptBucket
  readonly at: number
}

/** Whether several answers may have the row: what is an object in one of them could be changed by who gets it. */
function isPlain(row: InnerRow): boolean {
  return row.every((value) => typeof value !== 'object' || value === null)
}

async function readStretch(reading: Reading, stretch: TimeRange, request: CellRequest): Promise<Stretch> {
  return { ...stretch, cells: await readStretchCells(reading, stretch, request) }
}

function isRight({ history, moment, from, to }: KeptBucket, view: ChangeView): boolean {
  if (history !== view.history) return false
  const { unwatched } = view
  const changed = view.changedSince(moment)
  if (changed === null) return false
  return (
    (changed.length === 0 || !touches(changed, from, to)) &&
    (unwatched.length === 0 || !touches(unwatched, from, to))
  )
}

function isInside(stretches: readonly TimeRange[], from: Instant, to: Instant): boolean {
  return stretches.some((stretch) => stretch.from <= from && to <= stretch.to)
}

function noteKept(
  reading: Reading,
  run: TimeRange & { readonly cells: readonly Cell[]; readonly oldestMs: number },
): void {
  const seconds = Math.round((performance.now() - run.oldestMs) / 1000)
  reading.parts.push({
    begin: run.from,
    shown: {
      source: 'cache',
      ...showRange(run),
      rows: 0,
      bytes: 0,
      cells: run.cells.length,
      ms: roundMs(0),
      why: `kept for up to ${seconds} s, and nothing of it has changed since`,
    },
  })
}
