import { TidemarkError } from '../../util/errors.ts'

/**
 * OTLP's messages as tables that both of its encodings are read by: field number, name in JSON, kind. Fields that are not
 * listed are passed over, as the protocol asks.
 */
export type ScalarKind =
  | 'string'
  | 'bool'
  | 'int64'
  | 'fixed64'
  | 'sfixed64'
  | 'double'
  | 'uint32'
  | 'sint32'
  /** Bytes that JSON writes in hexadecimal. */
  | 'id'
  /** Bytes that JSON writes in base64. */
  | 'bytes'

export interface Field {
  readonly number: number
  readonly name: string
  readonly kind: ScalarKind | Message
  readonly isRepeated: boolean
}

export interface Message {
  readonly byNumber: ReadonlyMap<number, Field>
  readonly fields: readonly Field[]
}

/** A message that was read: its fields by name, absent ones undefined. 64-bit integers are bigints, ids hexadecimal text. */
export type Read = { readonly [name: string]: unknown }

type Kinds = Readonly<
  Record<string, readonly [number: number, kind: ScalarKind | Message | readonly [ScalarKind | Message]]>
>

/** A list around a kind: repeated. */
export function message(kinds: Kinds): Message {
  const fields = Object.entries(kinds).map(([name, [number, kind]]): Field => {
    const isRepeated = Array.isArray(kind)
    return { number, name, kind: (isRepeated ? kind[0] : kind) as ScalarKind | Message, isRepeated }
  })
  return { fields, byNumber: new Map(fields.map((field) => [field.number, field])) }
}

/** Bytes or JSON that are not the message. */
export class MessageFault {
  readonly problem: string
  constructor(problem: string) {
    this.problem = problem
  }
}

/** Messages nest deeper only in attributes. */
export const maxDepth = 64

/** A message of two bytes is an object of a hundred: how many there may be in all. */
export class Budget {
  readonly #most: number
  #used = 0

  constructor(most: number) {
    this.#most = most
  }

  /** @throws TidemarkError TM_LIMIT */
  take(count = 1): void {
    this.#used += count
    if (this.#used <= this.#most) return
    throw new TidemarkError('TM_LIMIT', {
      what: 'the number of points, records, spans and attributes of the request',
      value: `over ${this.#most}`,
      limit: `${this.#most}`,
      todo: 'send smaller requests (the batch size of the exporter)',
    })
  }
}
