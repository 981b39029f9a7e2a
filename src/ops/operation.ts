import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation, OperationKind, OperationProgress, OperationRequest } from '../client/index.ts'
import { TidemarkError } from '../util/errors.ts'

/** What an operation works with while it runs. */
export interface OperationRun {
  readonly signal: AbortSignal
  progress(progress: OperationProgress): void
}

/** Something that runs in this process, and how far it is. */
export interface PlannedOperation {
  readonly kind: OperationKind
  readonly dataset: string | null
  readonly request: OperationRequest
  readonly run: (run: OperationRun) => Promise<NonNullable<Operation['report']>>
}

export interface OperationsLimits {
  /** At once; more are refused. */
  readonly maxRunning: number
  /** Of those that have ended. */
  readonly keep: number
  readonly newId: () => string
  readonly now: () => string
}

/** How long whoever cancels waits for its end. */
const cancelWaitMs = 3000

interface Entry {
  operation: Operation
  readonly stop: AbortController
  /** Resolves when it has ended, well or not. */
  readonly ended: Promise<void>
}

/**
 * Work that takes longer than anybody waits for an answer: it goes on in the background, says how far it is, and can be stopped. What it
 * does is safe to stop and to begin again, so nothing of this is stored.
 */
export class Operations {
  readonly #limits: OperationsLimits
  /** In the order of beginning. */
  readonly #entries = new Map<string, Entry>()
  #isClosed = false

  constructor(limits: OperationsLimits) {
    this.#limits = limits
  }

  /** The newest first. */
  get all(): readonly Operation[] {
    return [...this.#entries.values()].map(({ operation }) => operation).reverse()
  }

  /** @throws TidemarkError TM_NOT_FOUND */
  get(id: string): Operation {
    return this.#find(id).operation
  }

  /**
   * @param onFailed told when it failed or was stopped, of which nobody may be waiting to hear.
   * @throws TidemarkError TM_BUSY when the same runs already, or too many do.
   */
  start(planned: PlannedOperation, by: string, onFailed: (operation: Operation) => Promise<void>): Operation {
    this.#assertRoom(planned)
    const { kind, dataset, request } = planned
    const id = this.#limits.newId()
    const stop = new AbortController()
    const operation: Operation = {
      ...{ id, kind, dataset, state: 'running', by, startedAt: this.#limits.now() },
      ...{ chunks: request.chunks ?? null, from: request.from ?? null, to: request.to ?? null },
      ...{ progress: null, endedAt: null, report: null, error: null },
    }
    const entry: Entry = { operation, stop, ended: Promise.resolve() }
    const change = (changed: Partial<Operation>): void => {
      entry.operation = { ...entry.operation, ...changed }
    }
    const work = async (): Promise<void> => {
      try {
        const report = await planned.run({
          signal: stop.signal,
          progress: (progress) => change({ progress }),
        })
        // what is left undone, the next call does
        const state = stop.signal.aborted ? 'cancelled' : 'done'
        change({ state, report, endedAt: this.#limits.now() })
      } catch (error) {
        const isCancelled =
          stop.signal.aborted && error instanceof TidemarkError && error.code === 'TM_CANCELLED'
        const told = error instanceof TidemarkError ? error : null
        change({
          state: isCancelled ? 'cancelled' : 'failed',
          endedAt: this.#limits.now(),
          error: {
            code: told?.code ?? 'TM_INTERNAL',
            message: told?.message ?? 'something unexpected happened; the log of the server has the details',
          },
        })
        await onFailed(entry.operation)
        if (told === null) throw error
      }
    }
    this.#entries.set(id, entry)
    ;(entry as { ended: Promise<void> }).ended = work().catch((error: unknown) => {
      process.emitWarning(error as Error)
    })
    this.#forget()
    return entry.operation
  }

  /** Of one that has ended nothing changes. @throws TidemarkError TM_NOT_FOUND */
  async cancel(id: string): Promise<Operation> {
    const entry = this.#find(id)
    entry.stop.abort()
    // a file is written to its end; whoever asks is told then
    await Promise.race([entry.ended, sleep(cancelWaitMs, undefined, { ref: false })])
    return entry.operation
  }

  /** Stops what runs, and waits for it. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { stop } of this.#entries.values()) stop.abort()
    await Promise.all([...this.#entries.values()].map(({ ended }) => ended))
  }

  #find(id: string): Entry {
    const entry = this.#entries.get(id)
    if (entry !== undefined) return entry
    throw new TidemarkError('TM_NOT_FOUND', { table: 'the list of operations of this process', key: id })
  }

  #assertRoom({ kind, dataset }: PlannedOperation): void {
    const what = `${kind}${dataset === null ? '' : ` of ${dataset}`}`
    const running = this.all.filter(({ state }) => state === 'running')
    const same = running.find((one) => one.kind === kind && one.dataset === dataset)
    if (this.#isClosed)
      throw new TidemarkError('TM_BUSY', { what, tries: 1, lastProblem: 'the process is ending' })
    if (same !== undefined)
      throw new TidemarkError('TM_BUSY', {
        what,
        tries: 1,
        lastProblem: `it runs already, as operation ${same.id}`,
      })
    if (running.length >= this.#limits.maxRunning)
      throw new TidemarkError('TM_BUSY', {
        what,
        tries: 1,
        lastProblem: `${running.length} operations run, and no more may at once: wait for one, or cancel it`,
      })
  }

  #forget(): void {
    const ended = [...this.#entries].filter(([, { operation }]) => operation.state !== 'running')
    for (const [id] of ended.slice(0, Math.max(0, ended.length - this.#limits.keep))) this.#entries.delete(id)
  }
}
