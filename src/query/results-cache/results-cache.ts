import type { HypertableDefinition } from '../../schema/index.ts'
import type { Instant, TimeRange } from '../../time/index.ts'
import { isTidemarkError } from '../../util/errors.ts'
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
import {
  canCut,
  maxPieceCells,
  mergePieces,
  piecesOf,
  type RaggedEnd,
  raggedEnds,
  type SeenEnd,
  tooManyCells,
} from './ragged-end.ts'
import { type KeptBucket, KeptBuckets, type KeptCounts } from './store.ts'

export interface ResultsCacheOptions {
  readonly memoryBytes: number
  readonly watch: ChangeWatch
  /** A bucket that the range cuts is read in pieces, which are kept, when so many rows had to be read of it before. Default 1,000. */
  readonly cutFromRows?: number
}

/** Fewer rows are read about as quickly as pieces are looked up. */
const defaults = { cutFromRows: 1_000 } as const

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
export function createResultsCache(options: ResultsCacheOptions): CountingResultsCache {
  const settings = { ...defaults, ...options }
  const kept = new KeptBuckets(settings.memoryBytes)
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
      return new KeptReading(kept, settings, { ...node, dataset, range }, context)
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

/** A cut bucket, its whole pieces looked up. */
interface CutEnd {
  readonly end: RaggedEnd
  /** The question. */
  readonly of: string
  /** Of its pieces. */
  readonly question: string
  readonly lookup: Lookup
  /** For its pieces. */
  readonly request: CellRequest
}

class KeptReading implements KeptCells {
  readonly #kept: KeptBuckets
  readonly #settings: Required<ResultsCacheOptions>
  readonly #node: AggregateQueryNode & { readonly dataset: HypertableDefinition; readonly range: TimeRange }
  readonly #context: QueryContext
  readonly #scan: ScanContext
  readonly #use: number
  readonly #computed: { readonly question: string; readonly bucket: KeptBucket }[] = []
  readonly #ends: { readonly question: string; readonly bucket: Instant; readonly seen: SeenEnd }[] = []
  #view: Promise<ChangeView | null> | null = null
  /** What `cells` gave last, with the kept buckets among it: where their cells begin. */
  #given: { readonly cells: readonly Cell[]; readonly kept: readonly KeptPlace[] } | null = null
  /** All of the answer, as it was right when it was looked at; later it may be gone, and no tier has been asked. */
  #whole: Lookup | null = null

  constructor(
    kept: KeptBuckets,
    settings: Required<ResultsCacheOptions>,
    node: AggregateQueryNode & { readonly dataset: HypertableDefinition; readonly range: TimeRange },
    context: QueryContext,
  ) {
    this.#kept = kept
    this.#settings = settings
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
    const ends = this.#cutEnds(row, request, question)
    // what is kept is presumed to be right while the snapshot is asked
    const whole = withoutEnds(row, ends)
    const presumed = unknownStretches(whole, (i) => found.buckets[i] !== null)
    const looking = this.#look()
    const [, first, ...pieces] = await settleAll<ChangeView | null | Stretch[]>([
      () => looking,
      () => readStretches(reading, presumed, request),
      ...ends.map(({ lookup: { row, buckets }, request: asked }) => {
        const unknown = unknownStretches(row, (i) => buckets[i] !== null)
        return () => readPieces(reading, unknown, asked, request)
      }),
    ])
    const view = await looking
    const checking = performance.now()
    const hits = found.buckets.map((known) => this.#checked(question, known, view))
    let read = first as Stretch[]
    const missing = missingBuckets(row, hits, read)
    reading.stages.read += performance.now() - checking
    // so scattered that all of it is read again sooner
    if (missing.length > maxStretches) read = [await readStretch(reading, whole.range, request)]
    else read.push(...(await readStretches(reading, missing, request)))
    for (const [i, end] of ends.entries())
      read.push(await this.#joinEnd(reading, end, pieces[i] as Stretch[], request, view))
    if (view?.isMoment) this.#noteEnds(reading, whole, request, question, read)
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
    for (const { question, bucket, seen } of this.#ends) this.#kept.rememberEnd(question, bucket, seen)
    this.#ends.length = 0
  }

  /** Cut buckets of which pieces are kept, or will be: those that a question before this one has met. */
  #cutEnds(row: BucketRow, request: CellRequest, question: string): readonly CutEnd[] {
    const { bucket } = request
    // what an aggregate keeps of dropped rows is whole cells
    if (bucket?.kind !== 'fixed' || this.#node.of || !canCut(request.states)) return []
    return raggedEnds(row, bucket).flatMap((end): CutEnd[] => {
      const seen = this.#kept.endOf(question, end.bucket)
      const pieces = piecesOf(end, bucket, seen, this.#settings.cutFromRows, this.#context.clock.now())
      if (pieces === null) return []
      const own = `${question}/${pieces.plan.width}`
      return [
        {
          end,
          of: question,
          question: own,
          lookup: this.#find(own, pieces.row),
          request: { ...request, bucket: pieces.plan, maxCells: maxPieceCells },
        },
      ]
    })
  }

  /** The cells of a cut bucket, from pieces that are kept and from what was read of it. */
  async #joinEnd(
    reading: Reading,
    { end, of, question, lookup: { row, buckets }, request: asked }: CutEnd,
    first: readonly Stretch[],
    request: CellRequest,
    view: ChangeView | null,
  ): Promise<Stretch> {
    const hits = buckets.map((known) => this.#checked(question, known, view))
    const missing = missingBuckets(row, hits, first)
    let read = [...first]
    if (missing.length > maxStretches) read = await readPieces(reading, [end], asked, request)
    else read.push(...(await readPieces(reading, missing, asked, request)))
    if (view?.isMoment && reading.unknown.size === 0)
      this.#note(
        row,
        read.filter(({ isUncut }) => !isUncut),
        question,
        view,
      )
    if (read.some(({ isUncut }) => isUncut))
      this.#ends.push({ question: of, bucket: end.bucket, seen: tooManyCells })
    const kept = hits.filter((hit) => hit !== null).filter(({ from, to }) => !isInside(read, from, to))
    for (const run of runsOf(kept)) noteKept(reading, run)
    const order = keyOrder(this.#node)
    const cells = mergePieces(
      end.bucket,
      [...kept, ...read].map(({ cells }) => cells),
      request.states,
    )
    return { from: end.from, to: end.to, cells: cells.sort((a, b) => order(a.keys, b.keys)) }
  }

  /** What the buckets that the range cuts took, where they were read as they are. */
  #noteEnds(
    reading: Reading,
    row: BucketRow,
    { bucket }: CellRequest,
    question: string,
    read: readonly Stretch[],
  ): void {
    if (bucket?.kind !== 'fixed') return
    for (const end of raggedEnds(row, bucket)) {
      const stretch = read.find(({ from, to }) => from <= end.from && end.to <= to)
      if (!stretch) continue
      const cells = stretch.cells.reduce((count, cell) => count + (cell.bucket === end.bucket ? 1 : 0), 0)
      const share = Number(end.to - end.from) / Number(stretch.to - stretch.from)
      let rows = 0
      for (const { begin, shown } of reading.parts)
        if (begin >= stretch.from && begin < stretch.to) rows += (shown.rows ?? 0) * share
      this.#ends.push({ question, bucket: end.bucket, seen: { cells, rows } })
    }
  }

  #look(): Promise<ChangeView | null> {
    this.#view ??= this.#settings.watch.look(this.#node.dataset, this.#scan)
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
  /** Of pieces: it was read as one. */
  readonly isUncut?: true
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

function readStretches(
  reading: Reading,
  stretches: readonly TimeRange[],
  request: CellRequest,
): Promise<Stretch[]> {
  return settleAll(stretches.map((stretch) => () => readStretch(reading, stretch, request)))
}

/** Too many cells of pieces are no reason to refuse a question that has few. */
async function readPieces(
  reading: Reading,
  stretches: readonly TimeRange[],
  asked: CellRequest,
  request: CellRequest,
): Promise<Stretch[]> {
  try {
    return await readStretches(reading, stretches, asked)
  } catch (error) {
    if (!isTidemarkError(error) || error.code !== 'TM_LIMIT') throw error
    const read = await readStretches(reading, stretches, request)
    return read.map((stretch) => ({ ...stretch, isUncut: true }))
  }
}

/** Whole buckets that are neither known nor read. */
function missingBuckets(
  row: BucketRow,
  hits: readonly (KeptBucket | null)[],
  read: readonly Stretch[],
): readonly TimeRange[] {
  return unknownBuckets(
    row,
    (i) => hits[i] !== null || isInside(read, row.borders[i] as Instant, row.borders[i + 1] as Instant),
  )
}

/** The same row, without the ends that are put together from pieces. */
function withoutEnds({ range, borders }: BucketRow, ends: readonly CutEnd[]): BucketRow {
  const isCut = (from: Instant): boolean => ends.some(({ end }) => end.from === from)
  const [first, last] = [borders[0] as Instant, borders.at(-1) as Instant]
  return {
    range: { from: isCut(range.from) ? first : range.from, to: isCut(last) ? last : range.to },
    borders,
  }
}

/** Kept buckets that follow each other, together. */
function runsOf(kept: readonly KeptBucket[]): readonly KeptRun[] {
  const runs: KeptRun[] = []
  for (const bucket of kept) {
    const last = runs.at(-1)
    const run =
      last?.to === bucket.from
        ? last
        : { from: bucket.from, to: bucket.to, cells: [], kept: [], oldestMs: bucket.computedMs }
    if (run !== last) runs.push(run)
    run.to = bucket.to
    run.oldestMs = Math.min(run.oldestMs, bucket.computedMs)
    run.kept.push(bucket)
    for (const cell of bucket.cells) run.cells.push(cell)
  }
  return runs
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
