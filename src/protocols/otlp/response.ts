import type { OtlpEncoding } from './decode.ts'

export type OtlpSignal = 'metrics' | 'logs' | 'traces'

const rejectedNames: Readonly<Record<OtlpSignal, string>> = {
  metrics: 'rejectedDataPoints',
  logs: 'rejectedLogRecords',
  traces: 'rejectedSpans',
}

/**
 * The body of the answer to an export request (status 200): empty when everything was taken, else `partial_success`, by which
 * an exporter knows that some was not, and must not send it again.
 *
 * @example
 * encodeOtlpResponse('metrics', 'json', 0, null) // {}
 * encodeOtlpResponse('logs', 'json', 2, 'no column takes …') // {"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"…"}}
 */
export function encodeOtlpResponse(
  signal: OtlpSignal,
  encoding: OtlpEncoding,
  rejected: number,
  message: string | null,
): Buffer {
  const isWhole = rejected === 0 && (message === null || message === '')
  if (encoding === 'json') {
    const partialSuccess = { [rejectedNames[signal]]: String(rejected), errorMessage: message ?? '' }
    return Buffer.from(JSON.stringify(isWhole ? {} : { partialSuccess }))
  }
  if (isWhole) return Buffer.alloc(0)
  const text = Buffer.from(message ?? '')
  const partial = Buffer.concat([
    Buffer.from([0x08]),
    varint(rejected),
    Buffer.from([0x12]),
    varint(text.length),
    text,
  ])
  return Buffer.concat([Buffer.from([0x0a]), varint(partial.length), partial])
}

/** The body of an answer that is an error: google.rpc.Status, of which exporters show the message. */
export function encodeOtlpStatus(encoding: OtlpEncoding, message: string): Buffer {
  if (encoding === 'json') return Buffer.from(JSON.stringify({ message }))
  const text = Buffer.from(message)
  return Buffer.concat([Buffer.from([0x12]), varint(text.length), text])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = value
  while (left >= 128) {
    bytes.push((left % 128) | 128)
    left = Math.floor(left / 128)
  }
  bytes.push(left)
  return Buffer.from(bytes)
}
