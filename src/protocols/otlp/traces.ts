import type { JsonValue } from '../../schema/index.ts'
import { formatInstant, type Instant } from '../../time/index.ts'
import type { Decoded } from '../contract.ts'
import { type Attributes, attributesOf, instantOrNull, type Origin, textOrNull } from './attributes.ts'
import { decodeSignal, ItemFault, list, type OtlpOptions } from './decode.ts'
import type { Read } from './message.ts'
import { traceRequest } from './messages.ts'
import { timeOf } from './metrics.ts'

export type SpanKind = 'unspecified' | 'internal' | 'server' | 'client' | 'producer' | 'consumer'
export type SpanStatus = 'unset' | 'ok' | 'error'

export interface Span extends Origin {
  readonly index: number
  readonly name: string
  readonly kind: SpanKind
  /** Hexadecimal. */
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | null
  /** Its start. */
  readonly time: Instant
  readonly end: Instant | null
  /** To the nanosecond; null while there is no end. */
  readonly durationMs: number | null
  readonly status: SpanStatus
  readonly statusMessage: string | null
  readonly attributes: Attributes
  /** `[{ time, name, attributes }]` */
  readonly events: JsonValue
  /** `[{ traceId, spanId, attributes }]` */
  readonly links: JsonValue
}

/**
 * The spans of an ExportTraceServiceRequest.
 *
 * @throws TidemarkError TM_BODY, TM_LIMIT
 */
export function decodeOtlpTraces(body: Uint8Array, options: OtlpOptions): Decoded<Span> {
  const signal = { request: traceRequest, resources: 'resourceSpans', scopes: 'scopeSpans', items: 'spans' }
  return decodeSignal<Span>(body, options, signal, (span, origin, add) => {
    add((index) => readSpan(index, span, origin))
  })
}

const spanKinds: readonly SpanKind[] = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']
const statuses: readonly SpanStatus[] = ['unset', 'ok', 'error']

function readSpan(index: number, span: Read, origin: Origin): Span {
  const name = (span['name'] as string | undefined) ?? ''
  const status = span['status'] as Read | undefined
  const start = span['startTimeUnixNano'] as bigint | undefined
  const end = span['endTimeUnixNano'] as bigint | undefined
  return {
    index,
    ...origin,
    name,
    kind: spanKinds[(span['kind'] as number | undefined) ?? 0] ?? 'unspecified',
    traceId: idOf(span, 'traceId', 32, name),
    spanId: idOf(span, 'spanId', 16, name),
    parentSpanId: textOrNull(span['parentSpanId']),
    time: timeOf(start, name),
    end: instantOrNull(end),
    durationMs: end === undefined || end === 0n || start === undefined ? null : Number(end - start) / 1e6,
    status: statuses[(status?.['code'] as number | undefined) ?? 0] ?? 'unset',
    statusMessage: textOrNull(status?.['message']),
    attributes: attributesOf(span['attributes']),
    events: list(span, 'events').map((event) => ({
      time: momentOf(event['timeUnixNano']),
      name: (event['name'] as string | undefined) ?? '',
      attributes: attributesOf(event['attributes']),
    })),
    links: list(span, 'links').map((link) => ({
      traceId: textOrNull(link['traceId']),
      spanId: textOrNull(link['spanId']),
      attributes: attributesOf(link['attributes']),
    })),
  }
}

function momentOf(nanos: unknown): string | null {
  const instant = instantOrNull(nanos)
  return instant === null ? null : formatInstant(instant)
}

/** All zeros is no id, says the protocol. */
function idOf(span: Read, field: string, length: number, name: string): string {
  const id = (span[field] as string | undefined) ?? ''
  if (id.length === length && !/^0+$/.test(id)) return id
  throw new ItemFault(
    field,
    id === '' ? null : id,
    'syntax',
    `span ${JSON.stringify(name)}: ${field} is not ${length / 2} bytes that are not all zero`,
  )
}
