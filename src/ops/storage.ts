import type { NextAct, Storage, StoredChunk, StoredDataset } from '../client/index.ts'
import { type ChunkLife, readChunkLives, type Subject } from '../lifecycle/index.ts'
import type { Database, Queryable } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { type Clock, formatInstant, type Instant } from '../time/index.ts'
import { type ChunkOutlook, readOutlook } from './chunk-outlook.ts'
import { type JobReading, readJobReadings, whyNotRun } from './job-health.ts'
import type { LakeHandle } from './lake-folder.ts'
import { readStatus } from './status.ts'
import { findSubjects } from './subjects.ts'

export interface StorageParts {
  readonly db: Database
  readonly target: string
  readonly definitions: readonly StoredDefinition[]
  readonly lake: LakeHandle
  readonly clock: Clock
}

/** What waits behind a lock for longer is an error, not a page that hangs. */
const bounds = { mode: 'repeatable read read only', lockTimeoutMs: 2000, statementTimeoutMs: 10_000 } as const

/** What of every dataset lies where, and what will be done with each chunk next. Of the catalog and statistics: no table is scanned. */
export async function readStorage(parts: StorageParts, signal: AbortSignal | null): Promise<Storage> {
  const { db, target, definitions, lake, clock } = parts
  const status = await readStatus(db, target, definitions, lake, clock)
  const now = clock.now()
  return db.transaction({ ...bounds, signal }, async (connection) => {
    const jobs = await readJobReadings(connection)
    const chunks = new Map<string, readonly StoredChunk[]>()
    for (const subject of await findSubjects(connection, definitions))
      chunks.set(subject.definition.name, await readChunks(connection, subject, { now, lake, jobs }))
    return {
      now: formatInstant(now),
      lake: status.lake,
      databaseBytes: status.postgres.databaseBytes,
      datasets: status.datasets.map((dataset, i): StoredDataset => {
        const definition = definitions[i] as StoredDefinition
        const { freeze = null, retain = null } = definition.kind === 'hypertable' ? definition : {}
        return {
          name: dataset.name,
          kind: definition.kind,
          exists: dataset.exists,
          rows: dataset.estimatedRows,
          bytes: { ...dataset.bytes, lake: dataset.lake?.bytes ?? 0 },
          ratio: dataset.lake?.before?.ratio ?? null,
          freezeAfter: freeze?.after.text ?? null,
          retain: retain?.text ?? null,
          defaultPartitionHasRows: dataset.defaultPartitionHasRows,
          chunks: chunks.get(dataset.name) ?? [],
        }
      }),
    }
  })
}

interface ChunkContext {
  readonly now: Instant
  readonly lake: LakeHandle
  readonly jobs: readonly JobReading[]
}

async function readChunks(
  connection: Queryable,
  subject: Subject,
  { now, lake, jobs }: ChunkContext,
): Promise<StoredChunk[]> {
  const lives = (await readChunkLives(connection, subject)).filter(({ state }) => state !== 'dropped')
  const { settings } = lake.lifecycle
  const { next, moving } = await readOutlook(connection, subject, lives, { now, settings })
  return lives.map((chunk) => {
    const isMoving = moving.has(chunk.id)
    return {
      id: String(chunk.id),
      from: formatInstant(chunk.range.from),
      to: formatInstant(chunk.range.to),
      state: stateOf(chunk),
      isMoving,
      rows: Math.round(chunk.hotRows) + chunk.coldRows,
      hotRows: Math.round(chunk.hotRows),
      bytes: chunk.hotBytes,
      coldBytes: chunk.coldBytes,
      files: chunk.files,
      deletedRows: chunk.deletedRows,
      bytesBefore: chunk.bytesBefore,
      frozenAt: chunk.frozenAt === null ? null : formatInstant(chunk.frozenAt),
      error: chunk.moveError,
      failures: chunk.moveFailures,
      next: nextOf(next.get(chunk.id), subject.definition.name, { now, jobs, isMoving }),
    }
  })
}

function stateOf({ state, hasHotPages, hotRows }: ChunkLife): StoredChunk['state'] {
  if (state === 'freezing') return 'freezing'
  if (state !== 'cold') return 'hot'
  return hasHotPages && hotRows > 0 ? 'delta' : 'cold'
}

const jobOf = { freeze: 'freeze', drop: 'expire', compact: 'compact' } as const

function nextOf(
  outlook: ChunkOutlook | undefined,
  dataset: string,
  { now, jobs, isMoving }: { now: Instant; jobs: readonly JobReading[]; isMoving: boolean },
): NextAct | null {
  if (outlook === undefined) return null
  const { act, at, waitsFor } = outlook
  const isOver = at <= now && !isMoving
  return {
    act,
    at: formatInstant(at),
    waitsFor: waitsFor ?? (isOver ? whyNotRun(jobs, `${jobOf[act]} ${dataset}`) : null),
  }
}
