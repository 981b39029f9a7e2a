import type { TidemarkClientError } from './errors.ts'
import type { RequestSpec } from './http.ts'
import type {
  AggregateHealth,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterReplay,
  ExplainedDeadLetter,
  JobsHealth,
  Operation,
  OperationRequest,
  Storage,
  StorageGrowth,
} from './operation-types.ts'
import type { Overview } from './overview-types.ts'
import type { CallOptions } from './types.ts'

/** What `client.operations` stands on. */
export interface OperationsDoor {
  send(spec: RequestSpec): Promise<unknown>
  readonly maxAttempts: number
}

/** A reading may be asked again, whatever became of it. */
const mayReadAgain = ({ retryable }: TidemarkClientError): boolean => retryable
/** An act only where the server says that it was not begun. */
const refusedForNow = ({ status }: TidemarkClientError): boolean => status === 429 || status === 503

/**
 * How the store is, and what those who run it do about it. It takes a key or token with the scope `admin`; of one tenant it opens that
 * tenant's dead letters, and nothing else.
 *
 * @example
 * const { datasets } = await client.operations.storage()
 * const { id } = await client.operations.start({ kind: 'freeze', dataset: 'metrics.requests' })
 * const { state, progress } = await client.operations.get(id)
 */
export class Operations {
  readonly #door: OperationsDoor

  constructor(door: OperationsDoor) {
    this.#door = door
  }

  /** Every chunk of every hypertable, what will be done with it next, and what that waits for. */
  storage(options: CallOptions = {}): Promise<Storage> {
    return this.#read('/storage', {}, options) as Promise<Storage>
  }

  /** How large datasets were: by the hour, beyond a month by the day. */
  growth(
    choice: { readonly dataset?: string; readonly from?: string; readonly to?: string } = {},
    options: CallOptions = {},
  ): Promise<StorageGrowth> {
    return this.#read('/storage/growth', choice, options) as Promise<StorageGrowth>
  }

  /**
   * Begins something that takes a while; the server goes on with it whoever waits. `get` says how far it is.
   *
   * @throws TidemarkClientError TM_QUERY when nothing is chosen; TM_BUSY when the same is under way, or too much at once.
   */
  start(request: OperationRequest, options: CallOptions = {}): Promise<Operation> {
    return this.#act('POST', '/operations', request, options) as Promise<Operation>
  }

  /** Of the process that answers: those that run, and the last 100, the newest first. */
  async list(options: CallOptions = {}): Promise<readonly Operation[]> {
    const { operations } = (await this.#read('/operations', {}, options)) as {
      operations: readonly Operation[]
    }
    return operations
  }

  /** @throws TidemarkClientError TM_NOT_FOUND, also of one that another process has begun. */
  get(id: string, options: CallOptions = {}): Promise<Operation> {
    return this.#read(`/operations/${encodeURIComponent(id)}`, {}, options) as Promise<Operation>
  }

  /** What is done by then stays done. One that has ended stays as it is. */
  cancel(id: string, options: CallOptions = {}): Promise<Operation> {
    return this.#act('DELETE', `/operations/${encodeURIComponent(id)}`, null, options) as Promise<Operation>
  }

  /** Continuous aggregates: how far each is, what is open, and which queries use it. */
  async aggregates(options: CallOptions = {}): Promise<readonly AggregateHealth[]> {
    const { aggregates } = (await this.#read('/aggregates', {}, options)) as {
      aggregates: readonly AggregateHealth[]
    }
    return aggregates
  }

  /** Background jobs, and the processes that run them. */
  jobs(options: CallOptions = {}): Promise<JobsHealth> {
    return this.#read('/jobs', {}, options) as Promise<JobsHealth>
  }

  /** Rows that were not taken, the newest first. */
  deadLetters(
    choice: DeadLetterFilter & {
      /** `next` of the page before. */
      readonly before?: string | null
      /** 1 to 500. Default 100. */
      readonly limit?: number
    } = {},
    options: CallOptions = {},
  ): Promise<DeadLetterPage> {
    return this.#read('/dead-letters', choice, options) as Promise<DeadLetterPage>
  }

  /** What is wrong with it, what is allowed, and what to do. @throws TidemarkClientError TM_NOT_FOUND */
  deadLetter(id: string, options: CallOptions = {}): Promise<ExplainedDeadLetter> {
    return this.#read(`/dead-letters/${encodeURIComponent(id)}`, {}, options) as Promise<ExplainedDeadLetter>
  }

  /** Puts another row in place of its own, and says what is wrong with that. It is stored by `replayDeadLetters`. */
  editDeadLetter(
    id: string,
    row: Readonly<Record<string, unknown>>,
    options: CallOptions = {},
  ): Promise<ExplainedDeadLetter> {
    return this.#act(
      'PATCH',
      `/dead-letters/${encodeURIComponent(id)}`,
      { row },
      options,
    ) as Promise<ExplainedDeadLetter>
  }

  /** Gives rows to the pipeline once more; those that go in are gone here. However often it is called, each is written once. */
  replayDeadLetters(
    choice: { readonly ids: readonly string[] } | { readonly filter: DeadLetterFilter & { all?: boolean } },
    options: CallOptions & {
      /** For rows whose key exists, in place of the rule that they came with. */
      readonly onConflict?: 'error' | 'ignore' | 'update'
    } = {},
  ): Promise<DeadLetterReplay> {
    const { signal, onConflict } = options
    const body = { ...choice, ...(onConflict === undefined ? {} : { onConflict }) }
    return this.#act('POST', '/dead-letters/replay', body, { signal }) as Promise<DeadLetterReplay>
  }

  /** For good. */
  async deleteDeadLetter(id: string, options: CallOptions = {}): Promise<void> {
    await this.#act('DELETE', `/dead-letters/${encodeURIComponent(id)}`, null, options)
  }

  /** For good: those that are named, or that match. @returns how many. */
  async deleteDeadLetters(
    choice: { readonly ids: readonly string[] } | { readonly filter: DeadLetterFilter & { all?: boolean } },
    options: CallOptions = {},
  ): Promise<number> {
    const { deleted } = (await this.#act('POST', '/dead-letters/delete', choice, options)) as {
      deleted: number
    }
    return deleted
  }

  /** Health: what is red, and what to do about it; rates and latencies of this process. */
  overview(options: CallOptions = {}): Promise<Overview> {
    return this.#read('/overview', {}, options) as Promise<Overview>
  }

  #read(path: string, parameters: object, { signal }: CallOptions): Promise<unknown> {
    const given = new URLSearchParams()
    for (const [name, value] of Object.entries(parameters))
      if (value !== undefined && value !== null && value !== '') given.set(name, String(value))
    const query = given.size === 0 ? '' : `?${given.toString()}`
    return this.#door.send({
      method: 'GET',
      path: `/api/v1${path}${query}`,
      contentType: '',
      body: '',
      headers: {},
      maxAttempts: this.#door.maxAttempts,
      signal,
      mayRetry: mayReadAgain,
    })
  }

  #act(
    method: 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body: unknown,
    { signal }: { readonly signal?: AbortSignal | undefined },
  ): Promise<unknown> {
    return this.#door.send({
      method,
      path: `/api/v1${path}`,
      contentType: 'application/json',
      body: body === null ? '' : JSON.stringify(body),
      headers: {},
      maxAttempts: this.#door.maxAttempts,
      signal,
      mayRetry: refusedForNow,
    })
  }
}
