/** One call of the client's smaller parts (`session`, …): no rows, JSON in and out. */
export interface CallSpec {
  /** Default GET, which is tried again after trouble on the way; anything else is sent once. */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  /** Sent as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

/** @throws TidemarkClientError the server's, TM_NO_ANSWER, TM_CLOSED */
export type Call = (spec: CallSpec) => Promise<unknown>

/** `?a=1&b=2` of what is given; '' without any. */
export function searchText(
  given: Readonly<Record<string, string | number | boolean | null | undefined>>,
): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(given))
    if (value !== undefined && value !== null) search.set(name, String(value))
  const text = search.toString()
  return text === '' ? '' : `?${text}`
}
