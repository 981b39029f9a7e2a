import { randomUUID } from 'node:crypto'

/** What is logged and given back as it came: nothing that could end a line or a header. */
const idForm = /^[\w.:+/=@-]{1,128}$/
/** https://www.w3.org/TR/trace-context: version, trace, parent, flags. */
const traceForm = /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-[\da-f]{2}(?:$|-)/

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/**
 * The id of a request: `x-request-id` where it is well-formed, else what `traceparent` says, else a new one.
 *
 * @example requestIdOf({ 'x-request-id': 'checkout-17' }) // 'checkout-17'
 */
export function requestIdOf(headers: Headers): string {
  const given = headers['x-request-id']
  if (typeof given === 'string' && idForm.test(given)) return given
  const trace = traceOf(headers)
  return trace === null ? randomUUID() : `${trace.trace}-${trace.parent}`
}

/** The trace that a request belongs to; null: it names none. */
export function traceOf(headers: Headers): { readonly trace: string; readonly parent: string } | null {
  const given = headers['traceparent']
  const match = typeof given === 'string' ? traceForm.exec(given) : null
  return match === null ? null : { trace: match[1]!, parent: match[2]! }
}
