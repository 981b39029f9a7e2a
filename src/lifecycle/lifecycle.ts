import type { ChunkManager, ColdRows } from '../hot/index.ts'
import type { LakeFiles, ObjectStore } from '../lake/index.ts'
import type { Database } from '../postgres/index.ts'
import type { HypertableDefinition, StoredDefinition } from '../schema/index.ts'
import { type Clock, type Instant, systemClock } from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { type ChunkRecord, listChunks } from './chunk-record.ts'
import { createColdRows } from './cold-rows.ts'
import { type LifecycleContext, type MoveOptions, type Subject, subjectOf } from './context.ts'
import { findDue, findWorn } from './due.ts'
import { type EjectReport, ejectTable } from './eject.ts'
import { type ErasureOptions, type ErasureReport, eraseRows } from './erase.ts'
import { type ErasurePlan, planErasure } from './erase-plan.ts'
import type { ErasureInput } from './erase-search.ts'
import { type ExpireReport, expireChunks, type MayExpire } from './expire.ts'
import { installTableGuard } from './guards.ts'
import { endStaleLeases } from './leases.ts'
import { type MoveOutcome, moveChunk } from './move-chunk.ts'
import { type ChunkSelection, isSelected, type MovedChunks, moveEach, type PolicyRun } from './move-each.ts'
import { type LifecycleSettings, settleSettings } from './options.ts'
import { assertSameLake } from './ownership.ts'
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
      const subject = await subjectOf(context, definition)
      await endStaleLeases(context.db, subject)
      if (definition.freeze !== null) await guardEarly(context, subject, options)
      const due = definition.freeze === null ? [] : await findDue(context, subject, definition.freeze.after)
      const ready = due.filter((each) => each.isReady).slice(0, settings.chunksPerRun)
      if (ready.length > 0) await assertLake()
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
        return { kind: 'moved', rows: outcome.rows, bytes: 0, bytesBefore: 0, exports: 1 }
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

function holdsRows(chunk: ChunkRecord): boolean {
  return chunk.state !== 'dropped' && chunk.relation !== null
}

function isCold(chunk: ChunkRecord): boolean {
  return chunk.state === 'cold'
}

/** Long before the first chunk is moved nobody is in the way; while somebody is, the next run tries again. */
async function guardEarly(
  context: LifecycleContext,
  subject: Subject,
  { signal = null }: MoveOptions,
): Promise<void> {
  try {
    await installTableGuard(context, subject, { signal, tries: 1 })
  } catch (error) {
    if (!isTidemarkError(error) || error.code !== 'TM_BUSY') throw error
  }
}
