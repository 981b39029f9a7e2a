import {
  type ChunkChoice,
  type ChunkSelection,
  chooseChunks,
  dueChunks,
  type Lifecycle,
  type MovedChunks,
  type MoveProgress,
} from '../lifecycle/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { ChunkCallOptions, FreezePlan, MoveReport } from './options.ts'
import { explainUnmigrated } from './unmigrated.ts'

interface MoveWatch {
  readonly signal: AbortSignal | null
  readonly blockWriters: boolean
  readonly onProgress: (progress: MoveProgress) => void
}

/** Which chunks a call moves, what is told of it meanwhile, and what it came to. */
export class ChunkMoves {
  readonly #lifecycle: Lifecycle
  readonly #clock: Clock

  constructor(lifecycle: Lifecycle, clock: Clock) {
    this.#lifecycle = lifecycle
    this.#clock = clock
  }

  /** @throws TidemarkError TM_QUERY with the problem when nothing is chosen. */
  chosen(choice: ChunkChoice, problem: string): ChunkSelection {
    const selection = chooseChunks(choice, this.#clock)
    if (selection === null) throw new TidemarkError('TM_QUERY', { path: 'olderThan', problem })
    return selection
  }

  /** What is chosen, or else what is older than `freeze.after`. */
  toFreeze(definition: HypertableDefinition, choice: ChunkChoice): ChunkSelection {
    const due = dueChunks(definition, this.#clock)
    const isChosen = Object.values(choice).some((value) => value !== undefined)
    if (due !== null && !isChosen) return due
    return this.chosen(
      choice,
      `is missing, and ${definition.name} does not declare freeze.after; say which chunks: olderThan, from and to, or chunk; or all of them`,
    )
  }

  /** The chosen chunks with what is in the way of each, and what they would take in the lake. */
  async survey(definition: HypertableDefinition, selection: ChunkSelection): Promise<FreezePlan> {
    const chunks = await explainUnmigrated(definition, this.#lifecycle.survey(definition, selection))
    const free = chunks.filter((chunk) => chunk.obstacle === null)
    const cold = (await this.#lifecycle.status(definition)).filter((chunk) => chunk.coldRows > 0)
    const sum = <T>(of: readonly T[], value: (each: T) => number): number =>
      of.reduce((total, each) => total + value(each), 0)
    const rows = sum(free, (chunk) => chunk.hotRows)
    const coldRows = sum(cold, (chunk) => chunk.coldRows)
    return {
      dataset: definition.name,
      chunks,
      rows,
      bytes: sum(free, (chunk) => chunk.hotBytes),
      expectedBytes:
        coldRows === 0 ? null : Math.round((sum(cold, (chunk) => chunk.coldBytes) / coldRows) * rows),
    }
  }

  /** How many chunks are in the lake. */
  async countCold(definition: HypertableDefinition): Promise<number> {
    const lives = await explainUnmigrated(definition, this.#lifecycle.status(definition))
    return lives.filter((chunk) => chunk.state === 'cold').length
  }

  /** Runs a move to its end. @throws TidemarkError TM_CANCELLED: what was moved by then stays so. */
  async move(
    definition: HypertableDefinition,
    chunksTotal: number,
    options: ChunkCallOptions,
    run: (move: MoveWatch) => Promise<MovedChunks>,
  ): Promise<MoveReport> {
    const startedMs = performance.now()
    const move = this.watched(definition, chunksTotal, options)
    const moved = await run(move)
    // what was moved stays so, and the caller hears that it was not all
    if (move.signal?.aborted)
      throw new TidemarkError('TM_CANCELLED', { what: `moving chunks of ${definition.name}` })
    return { dataset: definition.name, ...moved, elapsedMs: Math.round(performance.now() - startedMs) }
  }

  /** Signal and progress of a call as the lifecycle takes them. */
  watched(
    definition: HypertableDefinition,
    chunksTotal: number,
    { signal, onProgress, blockWriters = false }: ChunkCallOptions,
  ): MoveWatch {
    const startedMs = performance.now()
    let chunksDone = 0
    let rowsDone = 0
    return {
      signal: signal ?? null,
      blockWriters,
      onProgress(progress) {
        if (progress.stage === 'done') {
          chunksDone += 1
          rowsDone += progress.rows
        }
        const left = Math.max(0, chunksTotal - chunksDone)
        const seconds = (performance.now() - startedMs) / 1000
        const secondsLeft = chunksDone === 0 ? null : (seconds / chunksDone) * left
        onProgress?.({
          dataset: definition.name,
          ...progress,
          chunksDone,
          chunksTotal,
          rowsDone,
          secondsLeft,
        })
      },
    }
  }
}
