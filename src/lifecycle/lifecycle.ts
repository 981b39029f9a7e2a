import { timestamptzText } from '../changelog/index.ts'
import type { ChunkManager, ColdRows } from '../hot/index.ts'
import type { LakeFiles, ObjectStore } from '../lake/index.ts'
import type { Database } from '../postgres/index.ts'
import type { HypertableDefinition, StoredDefinition } from '../schema/index.ts'
import { type Clock, type Instant, subtractInterval, systemClock } from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { identifier, sql } from '../util/sql.ts'
import { type ChunkRecord, listChunks, listFiles, partitionOf } from './chunk-record.ts'
import { createColdRows } from './cold-rows.ts'
import { type LifecycleContext, type MoveOptions, type Subject, subjectOf } from './context.ts'
import { type EjectReport, ejectTable } from './eject.ts'
import {
  type ErasureInput,
  type ErasureOptions,
  type ErasurePlan,
  type ErasureReport,
  eraseRows,
  planErasure,
} from './erase.ts'
import { type ExpireReport, expireChunks, type MayExpire } from './expire.ts'
import { type MoveOutcome, moveChunk } from './move-chunk.ts'
import { type LifecycleSettings, settleSettings } from './options.ts'
import { assertSameLake } from './ownership.ts'
import { judgeWear } from './policy.ts'
import { type ReclaimReport, reclaimSpace } from './reclaim.ts'
import { type ChunkLife, readChunkLives } from './status.ts'
import { type SurveyedChunk, surveyChunks } from './survey.ts'
import { type SweepOptions, type SweepReport, sweepLake } from './sweep.ts'
import { thawChunk } from './thaw.ts'
import { type VerifyOptions, type VerifyReport, verifyLake } from './verify.ts'

export interface LifecycleOptions {
  readonly db: Database
  readonly files: LakeFiles
  readonly store: ObjectStore
  readonly chunks: ChunkManager
  readonly clock?: Clock
  /** In [0, 1), for jitter; default Math.random. */
  readonly random?: () => number
  /** Asked before a chunk is dropped; default: it may. */
  readonly mayExpire?: MayExpire
  readonly settings?: Partial<LifecycleSettings>
}

/** Which chunks are meant. Without any of these: all. */
export interface ChunkSelection {
  readonly chunk?: bigint
  /** Chunks that lie wholly in `[from, to)`. */
  readonly from?: Instant
  readonly to?: Instant
  /** Chunks that lie wholly before it. */
  readonly olderThan?: Instant
}

export interface MovedChunks {
  readonly chunks: number
  readonly rows: number
  /** Of the files that were written; 0 for a thaw. */
  readonly bytes: number
  /** What the partitions of hot chunks took with their indexes before. */
  readonly bytesBefore: number
  /** Chunks that somebody else moves at this moment. */
  readonly taken: readonly bigint[]
  /** Chunks that could not be moved, and why; the others were. */
  readonly failed: readonly { readonly chunk: bigint; readonly reason: string }[]
}

export interface PolicyRun extends MovedChunks {
  /** Chunks that are old enough and wait for a while without writes. */
  readonly waiting: number
}

/** Moves chunks between PostgreSQL and the lake; docs/design/chunk-life.md. */
export interface Lifecycle {
  readonly settings: LifecycleSettings
  /** For the writer: rows of the lake that it is about to change. */
  readonly coldRows: ColdRows
  /** Moves rows of chunks into the lake; of cold chunks those that came late, into one more file. */
  freeze(
    definition: HypertableDefinition,
    selection?: ChunkSelection,
    options?: MoveOptions,
  ): Promise<MovedChunks>
  /** What `freeze.after` of the declaration asks for at this moment. */
  freezeDue(definition: HypertableDefinition, options?: MoveOptions): Promise<PolicyRun>
  /** Takes rows of cold chunks back into PostgreSQL. */
  thaw(
    definition: HypertableDefinition,
    selection?: ChunkSelection,
    options?: MoveOptions,
  ): Promise<MovedChunks>
  /** Writes cold chunks anew as one file each. */
  compact(
    definition: HypertableDefinition,
    selection?: ChunkSelection,
    options?: MoveOptions,
  ): Promise<MovedChunks>
  /** Folds or rewrites the chunks that are worn. */
  compactDue(definition: HypertableDefinition, options?: MoveOptions): Promise<MovedChunks>
  /** Drops chunks wholly before `cutoff`; default: what `retain` of the declaration says. */
  expire(
    definition: HypertableDefinition,
    options?: MoveOptions & { readonly cutoff?: Instant },
  ): Promise<ExpireReport>
  /** Gives back the space of rows that have moved. */
  reclaim(definition: HypertableDefinition, options?: MoveOptions): Promise<ReclaimReport>
  /** Removes files that nobody can need; of all tables. */
  sweep(options?: SweepOptions): Promise<SweepReport>
  verify(definitions: readonly HypertableDefinition[], options?: VerifyOptions): Promise<VerifyReport>
  /** Makes a plain partitioned table of a hypertable, with all its rows. */
  eject(definition: HypertableDefinition, options?: MoveOptions): Promise<EjectReport>
  /** Removes rows for good, wherever they are; docs/guide/erasing.md. Goes on with one of the same condition that was stopped. */
  erase(definition: StoredDefinition, input: ErasureInput, options?: ErasureOptions): Promise<ErasureReport>
  planErasure(definition: StoredDefinition, input: ErasureInput, options?: MoveOptions): Promise<ErasurePlan>
  status(definition: HypertableDefinition): Promise<ChunkLife[]>
  /** What `freeze` would move, and what is in its way. */
  survey(definition: HypertableDefinition, selection?: ChunkSelection): Promise<SurveyedChunk[]>
}

/**
 * @example
 * const lifecycle = createLifecycle({ db, files, store, chunks })
 * await lifecycle.freeze(requests, { olderThan: parseInstant('2026-01-01T00:00:00Z') })
 */
export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const settings = settleSettings(options.settings ?? {})
  const context: LifecycleContext = {
    db: options.db,
    files: options.files,
    store: options.store,
    chunks: options.chunks,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    settings,
  }
  const mayExpire: MayExpire = options.mayExpire ?? (async () => true)
  // A move holds a connection while it asks for another: as many moves at once as the pool has connections would
  // wait for each other for ever. And one export keeps both cores busy.
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const run = last.then(work)
    // whoever called hears of its error
    last = run.catch(() => {})
    return run
  }
  const moveAll: typeof moveEach = (chunks, options, each) =>
    moveEach(chunks, options, (chunk) => inTurn(() => each(chunk)))
  let lakeIsKnown = false
  const assertLake = async (): Promise<void> => {
    if (!lakeIsKnown) await assertSameLake(context)
    lakeIsKnown = true
  }

  async function move(
    definition: HypertableDefinition,
    selection: ChunkSelection,
    options: MoveOptions,
    wants: (chunk: ChunkRecord) => boolean,
    each: (subject: Subject, chunk: ChunkRecord) => Promise<MoveOutcome>,
  ): Promise<MovedChunks> {
    const subject = await subjectOf(context, definition)
    const chunks = (await listChunks(context.db, subject.hypertable)).filter(
      (chunk) => isSelected(chunk, selection) && wants(chunk),
    )
    return moveAll(chunks, options, (chunk) => each(subject, chunk))
  }

  const lifecycle: Lifecycle = {
    settings,

    coldRows: createColdRows({
      context,
      async thaw(definition, chunk, signal) {
        const { taken } = await lifecycle.thaw(definition, { chunk }, { signal })
        if (taken.length === 0) return
        throw new TidemarkError('TM_BUSY', {
          what: `thawing chunk ${chunk} of ${definition.name} for a write to most of its rows`,
          tries: 1,
          lastProblem: 'it is being moved',
        })
      },
    }),

    async freeze(definition, selection = {}, options = {}) {
      await assertLake()
      return move(definition, selection, options, holdsRows, (subject, chunk) =>
        moveChunk(context, subject, chunk.id, 'none', options),
      )
    },

    async freezeDue(definition, options = {}) {
      const due =
        definition.freeze === null ? [] : await findDue(context, definition, definition.freeze.after)
      const ready = due.filter((each) => each.isReady).slice(0, settings.chunksPerRun)
      if (ready.length > 0) await assertLake()
      const subject = await subjectOf(context, definition)
      const moved = await moveAll(
        ready.map((each) => each.chunk),
        options,
        (chunk) => moveChunk(context, subject, chunk.id, 'none', options),
      )
      return { ...moved, waiting: due.filter((each) => !each.isReady).length }
    },

    thaw: (definition, selection = {}, options = {}) =>
      move(definition, selection, options, isCold, async (subject, chunk) => {
        const outcome = await thawChunk(context, subject, chunk.id, options)
        if (outcome.kind !== 'thawed') return outcome
        return {
          kind: 'moved',
          rows: outcome.rows,
          rowsFromPartition: 0,
          bytes: 0,
          bytesBefore: 0,
          exports: 1,
        }
      }),

    compact: (definition, selection = {}, options = {}) =>
      move(definition, selection, options, isCold, (subject, chunk) =>
        moveChunk(context, subject, chunk.id, 'all', options),
      ),

    async compactDue(definition, options = {}) {
      const subject = await subjectOf(context, definition)
      const worn = await findWorn(context, subject)
      return moveAll(
        worn.slice(0, settings.chunksPerRun).map(({ chunk }) => chunk),
        options,
        (chunk) =>
          moveChunk(
            context,
            subject,
            chunk.id,
            worn.find((each) => each.chunk === chunk)!.wear === 'rewrite' ? 'all' : 'none',
            options,
          ),
      )
    },

    expire: async (definition, options = {}) =>
      expireChunks(context, await subjectOf(context, definition), mayExpire, options),

    reclaim: async (definition, options = {}) =>
      reclaimSpace(context, await subjectOf(context, definition), options),

    sweep: (options = {}) => sweepLake(context, options),

    verify: async (definitions, options = {}) => {
      const subjects: Subject[] = []
      for (const definition of definitions) subjects.push(await subjectOf(context, definition))
      return verifyLake(context, subjects, options)
    },

    eject: async (definition, options = {}) =>
      inTurn(async () => ejectTable(context, await subjectOf(context, definition), options)),

    erase: (definition, input, options = {}) => eraseRows(context, definition, input, options, inTurn),

    planErasure: (definition, input, options = {}) => planErasure(context, definition, input, options),

    status: async (definition) => readChunkLives(context.db, await subjectOf(context, definition)),

    survey: async (definition, selection = {}) =>
      surveyChunks(context.db, await subjectOf(context, definition), (chunk) => isSelected(chunk, selection)),
  }
  return lifecycle
}

function isSelected({ id, range }: Pick<ChunkRecord, 'id' | 'range'>, selection: ChunkSelection): boolean {
  const { chunk, from, to, olderThan } = selection
  return (
    (chunk === undefined || id === chunk) &&
    (from === undefined || range.from >= from) &&
    (to === undefined || range.to <= to) &&
    (olderThan === undefined || range.to <= olderThan)
  )
}

function holdsRows(chunk: ChunkRecord): boolean {
  return chunk.state !== 'dropped' && chunk.relation !== null
}

function isCold(chunk: ChunkRecord): boolean {
  return chunk.state === 'cold'
}

/** One after the other. A chunk that cannot be moved does not keep the others. */
async function moveEach(
  chunks: readonly ChunkRecord[],
  { signal }: MoveOptions,
  each: (chunk: ChunkRecord) => Promise<MoveOutcome>,
): Promise<MovedChunks> {
  const total = { chunks: 0, rows: 0, bytes: 0, bytesBefore: 0 }
  const taken: bigint[] = []
  const failed: { chunk: bigint; reason: string }[] = []
  for (const chunk of chunks) {
    if (signal?.aborted) break
    try {
      const outcome = await each(chunk)
      if (outcome.kind === 'taken') taken.push(chunk.id)
      if (outcome.kind !== 'moved') continue
      total.chunks += 1
      total.rows += outcome.rows
      total.bytes += outcome.bytes
      total.bytesBefore += outcome.bytesBefore
    } catch (error) {
      // With one chunk the error is the answer; a lost database or a cancelled call ends the run.
      if (!isTidemarkError(error) || chunks.length === 1 || endsRun.has(error.code)) throw error
      failed.push({ chunk: chunk.id, reason: error.message })
    }
  }
  return { ...total, taken, failed }
}

const endsRun: ReadonlySet<string> = new Set(['TM_CANCELLED', 'TM_CONNECT', 'TM_COMMIT_UNKNOWN'])

interface DueChunk {
  readonly chunk: ChunkRecord
  readonly isReady: boolean
}

/**
 * Hot chunks wholly before now - after, oldest first. One that the change log says was written to within `quietMs` waits,
 * unless it is twice as old as it has to be: late rows that keep coming would keep it hot for ever.
 */
async function findDue(
  context: LifecycleContext,
  definition: HypertableDefinition,
  after: NonNullable<HypertableDefinition['freeze']>['after'],
): Promise<DueChunk[]> {
  const { db, clock, settings } = context
  const subject = await subjectOf(context, definition)
  const cutoff = subtractInterval(clock.now(), after, null)
  const impatient = subtractInterval(cutoff, after, null)
  const { rows } = await db.query(sql`
    select k.id, k.range_to <= ${timestamptzText(impatient)}::timestamptz or not exists (
      select
      from tidemark.change_log as l
      where l.hypertable_id = k.hypertable_id
        and l.range_from < k.range_to and l.range_to > k.range_from
        and l.logged_at > clock_timestamp() - ${settings.quietMs}::float8 * interval '1 millisecond'
    )
    from tidemark.chunk as k
    join pg_class as c
      on c.relname = k.relation_name and c.relnamespace = 'tidemark_chunks'::regnamespace
    where k.hypertable_id = ${subject.hypertable.id}::int
      and k.state in ('hot', 'freezing')
      and k.range_to <= ${timestamptzText(cutoff)}::timestamptz
      and pg_relation_size(c.oid) > 0
    order by k.range_from`)
  const ready = new Map(rows.map(([id, isReady]) => [id as bigint, isReady as boolean]))
  const chunks = await listChunks(db, subject.hypertable)
  return chunks.flatMap((chunk) => {
    const isReady = ready.get(chunk.id)
    return isReady === undefined ? [] : [{ chunk, isReady }]
  })
}

/** Cold chunks that are worth writing, by what the policy says of them. */
async function findWorn(
  context: LifecycleContext,
  subject: Subject,
): Promise<{ readonly chunk: ChunkRecord; readonly wear: 'fold' | 'rewrite' }[]> {
  const { db, settings } = context
  const files = await listFiles(db, subject.hypertable, null)
  const worn: { chunk: ChunkRecord; wear: 'fold' | 'rewrite' }[] = []
  for (const chunk of await listChunks(db, subject.hypertable)) {
    if (chunk.state !== 'cold') continue
    const own = files.filter((file) => file.chunkId === chunk.id)
    const partition = partitionOf(chunk)
    let deltaRows = 0
    if (partition !== null) {
      const relation = identifier(partition.schema, partition.table)
      const { rows } = await db.query(sql`
        select case when pg_relation_size(format('%I.%I', ${partition.schema}::text, ${partition.table}::text)::regclass) = 0
          then 0 else (select count(*) from (select from only ${relation} limit ${settings.foldRows}::int8 + 1) as few) end`)
      deltaRows = Number(rows[0]![0])
    }
    const { rows } = await db.query(sql`
      select extract(epoch from clock_timestamp() - greatest(
        k.frozen_at,
        (
          select max(l.logged_at)
          from tidemark.change_log as l
          where l.hypertable_id = k.hypertable_id and l.range_from < k.range_to and l.range_to > k.range_from
        ),
        (
          select max(d.created_at)
          from tidemark.lake_deletion as d
          join tidemark.lake_file as f on f.id = d.file_id
          where f.chunk_id = k.id
        )
      ))::float8 * 1000
      from tidemark.chunk as k
      where k.id = ${chunk.id}::int8`)
    const wear = judgeWear(
      {
        deltaRows,
        fileRows: own.map((file) => file.rowCount),
        deletedRows: own.reduce((sum, file) => sum + file.deletedRows, 0),
        restedMs: rows[0]![0] as number,
      },
      settings,
    )
    if (wear !== 'rest') worn.push({ chunk, wear })
  }
  return worn
}
