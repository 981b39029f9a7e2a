import type { Queryable } from '../postgres/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import type { Subject } from './context.ts'
import { assertMovable } from './obstacles.ts'
import { type ChunkLife, readChunkLives } from './status.ts'

/** A chunk with rows in PostgreSQL, as `freeze` would find it. */
export interface SurveyedChunk extends ChunkLife {
  /** What forbids that its rows leave PostgreSQL, and the way out; null: nothing. */
  readonly obstacle: string | null
}

/** What `freeze` would move, and what is in its way. Changes nothing, reads no table. */
export async function surveyChunks(
  db: Queryable,
  subject: Subject,
  isMeant: (chunk: ChunkLife) => boolean,
): Promise<SurveyedChunk[]> {
  const surveyed: SurveyedChunk[] = []
  for (const chunk of await readChunkLives(db, subject)) {
    if (chunk.state === 'dropped' || !chunk.hasHotPages || !isMeant(chunk)) continue
    surveyed.push({ ...chunk, obstacle: await obstacleOf(db, subject, chunk) })
  }
  return surveyed
}

/** What forbids it for every chunk of the table; null: nothing. */
export function tableObstacle(db: Queryable, subject: Subject): Promise<string | null> {
  return obstacleOf(db, subject, { relation: null })
}

async function obstacleOf(
  db: Queryable,
  subject: Subject,
  chunk: Pick<ChunkLife, 'relation'>,
): Promise<string | null> {
  try {
    await assertMovable(db, subject, chunk)
    return null
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'TM_MIGRATION') return error.message
    throw error
  }
}
