import { randomUUID } from 'node:crypto'
import type { JobsHealth, Operation, OperationRequest, Storage, StorageGrowth } from '../client/index.ts'
import type { Database } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition, StoredDefinition } from '../schema/index.ts'
import { type Clock, formatInstant, parsePoint, TimeProblem } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { type KnownAggregate, readAggregateHealth } from './aggregate-health.ts'
import { type DeclaredJob, readJobs } from './job-health.ts'
import type { LakeHandle } from './lake-folder.ts'
import { Operations } from './operation.ts'
import { type OperationCalls, planOperation, readOperationRequest } from './plan-operation.ts'
import { readStorage } from './storage.ts'
import { readGrowth, sampleStorage } from './storage-samples.ts'

export interface OperationsDeskOptions {
  readonly db: Database
  readonly target: string
  readonly definitions: readonly StoredDefinition[]
  readonly aggregates: readonly ContinuousAggregateDefinition[]
  readonly lake: LakeHandle
  readonly clock: Clock
  readonly engine: OperationCalls
  /** As a worker of this configuration would run them. */
  readonly jobs: () => readonly DeclaredJob[]
}

interface CallOptions {
  readonly signal?: AbortSignal | null
}

/** Operations at once: moves go one after the other anyway, and a verification keeps a core busy. */
const maxRunning = 4
const keep = 100
const bounds = { mode: 'repeatable read read only', lockTimeoutMs: 2000, statementTimeoutMs: 10_000 } as const

/** How the store is, and work on it that goes on in the background; `tm.operations`. */
export class OperationsDesk {
  readonly #options: OperationsDeskOptions
  readonly #running: Operations

  constructor(options: OperationsDeskOptions) {
    this.#options = options
    this.#running = new Operations({
      maxRunning,
      keep,
      newId: () => randomUUID(),
      now: () => formatInstant(options.clock.now()),
    })
  }

  /** Every chunk of every hypertable, what will be done with it next, and what that waits for. Scans no table. */
  storage({ signal = null }: CallOptions = {}): Promise<Storage> {
    return readStorage(this.#options, signal)
  }

  /**
   * How large datasets were; the worker notes it every hour.
   *
   * @throws TidemarkError TM_QUERY for what is no time.
   */
  growth(
    choice: { readonly datasets: readonly string[]; readonly from?: string; readonly to?: string },
    { signal = null }: CallOptions = {},
  ): Promise<StorageGrowth> {
    const { db, clock } = this.#options
    const read = (path: string, text: string | undefined) => {
      try {
        return text === undefined ? null : parsePoint(text, clock.now(), null)
      } catch (error) {
        if (error instanceof TimeProblem)
          throw new TidemarkError('TM_QUERY', { path, problem: error.problem })
        throw error
      }
    }
    const range = { from: read('from', choice.from), to: read('to', choice.to) }
    return readGrowth(db, { datasets: choice.datasets, ...range }, signal)
  }

  /** Notes how large each dataset is; a job does so. */
  sample(signal: AbortSignal | null = null): ReturnType<typeof sampleStorage> {
    const { db, definitions, clock } = this.#options
    return sampleStorage(db, definitions, clock.now(), signal)
  }

  /** Continuous aggregates: how far each is, and what is open. */
  aggregates({ signal = null }: CallOptions = {}): Promise<KnownAggregate[]> {
    const { db, aggregates, clock } = this.#options
    return db.transaction({ ...bounds, signal }, (connection) =>
      readAggregateHealth(connection, aggregates, clock),
    )
  }

  /** Background jobs with what each waits for, and the processes that run them. */
  jobs({ signal = null }: CallOptions = {}): Promise<JobsHealth> {
    const { db, jobs } = this.#options
    return db.transaction({ ...bounds, signal }, (connection) => readJobs(connection, jobs()))
  }

  /** What an operation is asked for, checked. @throws TidemarkError TM_QUERY with the path. */
  read(input: unknown): OperationRequest {
    return readOperationRequest(input)
  }

  /**
   * Begins an operation, which goes on in the background. What it does is stopped and begun again at any time.
   *
   * @param onFailed told when it failed or was stopped.
   * @throws TidemarkError TM_QUERY, TM_UNKNOWN_DATASET; TM_BUSY when the same is under way, or too much at once.
   *
   * @example
   * const { id } = await tm.operations.start({ kind: 'freeze', dataset: 'metrics.requests' }, 'ada')
   */
  async start(
    request: OperationRequest,
    by: string,
    onFailed: (operation: Operation) => Promise<void> = async () => {},
  ): Promise<Operation> {
    const { engine, lake, clock } = this.#options
    const acts = { engine, chunks: lake.lifecycle.status }
    const planned = await planOperation(acts, readOperationRequest(request), clock)
    return this.#running.start(planned, by, onFailed)
  }

  /** Those of this process that run, and the last 100; the newest first. */
  list(): readonly Operation[] {
    return this.#running.all
  }

  /** @throws TidemarkError TM_NOT_FOUND */
  get(id: string): Operation {
    return this.#running.get(id)
  }

  /** What is done by then stays done. @throws TidemarkError TM_NOT_FOUND */
  cancel(id: string): Promise<Operation> {
    return this.#running.cancel(id)
  }

  /** Stops what runs, and waits for it. */
  close(): Promise<void> {
    return this.#running.close()
  }
}
