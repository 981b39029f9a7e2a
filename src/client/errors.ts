/** What a call of the client fails with. Tell errors apart by `code`, never by text. */
export class TidemarkClientError extends Error {
  override readonly name = 'TidemarkClientError'
  /**
   * The server's (docs/reference/errors.md), or one of the client's own: TM_NO_ANSWER (the server was not reached, or did
   * not answer in time), TM_HTTP (an answer that is not Tidemark's), TM_VALUE (a value that JSON cannot carry), TM_FULL
   * (the buffer), TM_CLOSED, TM_REJECTED (the server took the other rows of the batch), TM_UNEXPECTED (onError threw).
   */
  readonly code: string
  /** Of HTTP; null where there was no answer. */
  readonly status: number | null
  /** Whether the same call may succeed later. The client has tried as often as it was allowed to. */
  readonly retryable: boolean
  /** What the message was made from. */
  readonly params: unknown
  /** The request's id in the server's log. */
  readonly requestId: string | null
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number | null

  constructor(
    code: string,
    message: string,
    details: {
      readonly status?: number
      readonly retryable?: boolean
      readonly params?: unknown
      readonly requestId?: string
      readonly retryAfterMs?: number | null
      readonly cause?: unknown
    } = {},
  ) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    this.status = details.status ?? null
    this.retryable = details.retryable ?? false
    this.params = details.params ?? null
    this.requestId = details.requestId ?? null
    this.retryAfterMs = details.retryAfterMs ?? null
  }
}

export function isTidemarkClientError(error: unknown): error is TidemarkClientError {
  return error instanceof TidemarkClientError
}
