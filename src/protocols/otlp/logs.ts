import type { JsonValue } from '../../schema/index.ts'
import { type Instant, isTimeOfRow } from '../../time/index.ts'
import type { Decoded } from '../contract.ts'
import {
  type Attributes,
  attributesOf,
  instantOrNull,
  type Origin,
  textOrNull,
  valueOfAny,
} from './attributes.ts'
import { decodeSignal, ItemFault, type OtlpOptions } from './decode.ts'
import type { Read } from './message.ts'
import { logsRequest } from './messages.ts'

export interface LogRecord extends Origin {
  readonly index: number
  /** When it happened; when that is not known, when it was observed; else when it was received. */
  readonly time: Instant
  readonly observed: Instant | null
  /** 1 to 24; null: not said. */
  readonly severityNumber: number | null
  readonly severityText: string | null
  readonly body: JsonValue
  readonly attributes: Attributes
  /** Hexadecimal. */
  readonly traceId: string | null
  readonly spanId: string | null
  readonly eventName: string | null
}

/**
 * The records of an ExportLogsServiceRequest.
 *
 * @throws TidemarkError TM_BODY, TM_LIMIT
 */
export function decodeOtlpLogs(
  body: Uint8Array,
  options: OtlpOptions & { readonly receivedAt: Instant },
): Decoded<LogRecord> {
  const signal = { request: logsRequest, resources: 'resourceLogs', scopes: 'scopeLogs', items: 'logRecords' }
  return decodeSignal<LogRecord>(body, options, signal, (record, origin, add) => {
    add((index) => readRecord(index, record, origin, options.receivedAt))
  })
}

function readRecord(index: number, record: Read, origin: Origin, receivedAt: Instant): LogRecord {
  const observed = instantOrNull(record['observedTimeUnixNano'])
  const time = instantOrNull(record['timeUnixNano']) ?? observed ?? receivedAt
  if (!isTimeOfRow(time))
    throw new ItemFault(
      'timeUnixNano',
      `${time}`,
      'range',
      'its time is outside of the times that rows can have',
    )
  const severity = (record['severityNumber'] as number | undefined) ?? 0
  return {
    index,
    ...origin,
    time,
    observed,
    severityNumber: severity === 0 ? null : severity,
    severityText: textOrNull(record['severityText']),
    body: valueOfAny(record['body'] as Read | undefined),
    attributes: attributesOf(record['attributes']),
    traceId: textOrNull(record['traceId']),
    spanId: textOrNull(record['spanId']),
    eventName: textOrNull(record['eventName']),
  }
}
