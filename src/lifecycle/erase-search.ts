import type { TouchedCells } from '../changelog/index.ts'
import type { Connection, Queryable } from '../postgres/index.ts'
import type { FilterNode } from '../query/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { type ChunkFile, readDeletions } from './chunk-record.ts'
import type { LifecycleContext, Subject } from './context.ts'

/** Which rows. */
export interface ErasureInput {
  readonly where: FilterNode | null
  readonly range: TimeRange | null
}

/** Policies must not hide a row from an erasure: where one would, PostgreSQL says so. */
export async function beginWholeRead(connection: Connection): Promise<void> {
  await connection.execute('set local row_security = off; set local idle_in_transaction_session_timeout = 0')
}

/** Looks through files for rows that match, also for those that no longer count. A file never changes: it is counted once. */
export class FileSearch {
  readonly #context: LifecycleContext
  readonly #subject: Subject
  readonly #input: ErasureInput
  readonly #signal: AbortSignal | null
  /** Matching rows of a file, by its path. */
  readonly #counts = new Map<string, number>()

  constructor(context: LifecycleContext, subject: Subject, input: ErasureInput, signal: AbortSignal | null) {
    this.#context = context
    this.#subject = subject
    this.#input = input
    this.#signal = signal
  }

  async count(file: ChunkFile): Promise<number> {
    return this.#counts.get(file.path) ?? (await this.places(file)).length
  }

  /** Their places; `cells` gets what they touch. */
  async places(file: ChunkFile, cells: TouchedCells | null = null): Promise<Float64Array> {
    if (this.#counts.get(file.path) === 0) return new Float64Array(0)
    const { definition } = this.#subject
    const { time, tenant } = definition
    const columns = tenant === null ? [time] : [time, tenant]
    const found = await this.#context.files.matching({
      definition,
      file,
      ...this.#input,
      signal: this.#signal,
      ...(cells === null
        ? {}
        : {
            columns,
            onRow: ([at, of]) => cells.add(tenant === null ? null : (of as string | null), at as Instant),
          }),
    })
    this.#counts.set(file.path, found.length)
    return found
  }
}

/** Of the places of a file those whose rows count. */
export async function stillCounting(
  db: Queryable,
  file: ChunkFile,
  places: Float64Array,
): Promise<Float64Array> {
  if (file.deletedRows === 0 || places.length === 0) return places
  const deleted = new Set(await readDeletions(db, file.id))
  return places.filter((place) => !deleted.has(place))
}
