import { TidemarkError } from '../../util/errors.ts'
import { type Decoded, Problems, type ProtocolReason } from '../contract.ts'
import { attributesOf, type Origin, originOf } from './attributes.ts'
import { Budget, type Message, MessageFault, type Read } from './message.ts'
import { readJson } from './read-json.ts'
import { readProtobuf } from './read-protobuf.ts'

export type OtlpEncoding = 'json' | 'protobuf'

export interface OtlpOptions {
  /** 'json' for application/json, 'protobuf' for application/x-protobuf. */
  readonly encoding: OtlpEncoding
  /** Points, records, spans and attributes of a request. Default 2,000,000. */
  readonly maxMessages?: number
  readonly maxProblems?: number
}

export const otlpDefaults = Object.freeze({ maxMessages: 2_000_000 })

/** Attributes of resources that items have together at most, in multiples of `maxMessages`. */
const copiesPerMessage = 10

/** Why one item is not taken; the others go on. */
export class ItemFault {
  readonly field: string
  readonly value: string | null
  readonly reason: ProtocolReason
  readonly message: string
  constructor(field: string, value: string | null, reason: ProtocolReason, message: string) {
    this.field = field
    this.value = value
    this.reason = reason
    this.message = message
  }
}

/** The names of lists that a request of one signal nests. */
export interface Signal {
  readonly request: Message
  readonly resources: string
  readonly scopes: string
  readonly items: string
}

/**
 * Walks a request, and collects what `read` makes of each item.
 *
 * @throws TidemarkError TM_BODY when the body is not such a request (nothing is taken then), TM_LIMIT.
 */
export function decodeSignal<T>(
  body: Uint8Array,
  options: OtlpOptions,
  signal: Signal,
  read: (item: Read, origin: Origin, add: (make: (index: number) => T) => void) => void,
): Decoded<T> {
  const request = readRequest(body, options, signal.request)
  const points: T[] = []
  const problems = new Problems(options.maxProblems)
  let index = 0
  // each row has those of its resource, which are in the body only once
  let attributesOfItem = 0
  const copies = new Budget(copiesPerMessage * (options.maxMessages ?? otlpDefaults.maxMessages))
  const add = (make: (index: number) => T): void => {
    const at = index++
    copies.take(attributesOfItem)
    try {
      points.push(make(at))
    } catch (fault) {
      if (!(fault instanceof ItemFault)) throw fault
      const { field, value, reason, message } = fault
      problems.add({ index: at, line: null, column: null, field, value, reason, message, text: null })
    }
  }
  for (const resource of list(request, signal.resources)) {
    const attributes = attributesOf((resource['resource'] as Read | undefined)?.['attributes'])
    attributesOfItem = Object.keys(attributes).length
    for (const scope of list(resource, signal.scopes)) {
      const origin = originOf(attributes, scope['scope'] as Read | undefined)
      for (const item of list(scope, signal.items)) read(item, origin, add)
    }
  }
  return { points, problems: problems.list, problemCount: problems.count }
}

function readRequest(body: Uint8Array, options: OtlpOptions, kind: Message): Read {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const budget = new Budget(options.maxMessages ?? otlpDefaults.maxMessages)
  try {
    return options.encoding === 'json' ? readJson(bytes, kind, budget) : readProtobuf(bytes, kind, budget)
  } catch (fault) {
    if (!(fault instanceof MessageFault)) throw fault
    throw new TidemarkError('TM_BODY', {
      problem: `the body is no OTLP request in ${options.encoding}: ${fault.problem}`,
      todo: 'send what an OTLP/HTTP exporter sends to this path, with its content type',
    })
  }
}

/** A repeated field, which may be absent. */
export function list(message: Read | undefined, name: string): readonly Read[] {
  return (message?.[name] as readonly Read[] | undefined) ?? []
}
