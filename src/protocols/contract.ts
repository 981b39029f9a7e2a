import type { Instant } from '../time/index.ts'

export type FieldValue = number | bigint | string | boolean

/** Values measured at one time, as a protocol has them, before they are rows of a dataset. */
export interface Point {
  /** Its place in what was sent, from 0. */
  readonly index: number
  readonly measurement: string
  /** Keys and values in two lists of one length, in the order they came: half the memory of an object for each. */
  readonly tagKeys: readonly string[]
  readonly tagValues: readonly string[]
  readonly fieldKeys: readonly string[]
  /** A bigint where a double would round it. */
  readonly fieldValues: readonly FieldValue[]
  readonly time: Instant
}

/** Why something that was sent is not taken. `docs/guide/protocols.md` explains each. */
export const protocolReasons = {
  syntax: 'the text or the bytes do not have the form of the protocol',
  encoding: 'the bytes are not UTF-8',
  type: 'the value does not have the type that it should have',
  range: 'the number or the time is outside of what can be kept',
  duplicate: 'a tag, field or label is there twice',
  limit: 'a limit of size or number is exceeded',
  null: 'something that must be there is missing',
  unsupported: 'the protocol allows it, and it is not taken here',
  unknown: 'no declared dataset or column takes it',
} as const

export type ProtocolReason = keyof typeof protocolReasons

/** Something that was sent and is not taken. The rest goes on. */
export interface ProtocolProblem {
  /** Place of the point in what was sent, from 0. */
  readonly index: number
  /** From 1; null where the protocol has no lines. */
  readonly line: number | null
  /** The byte of the line, from 1; null where the protocol has no lines. */
  readonly column: number | null
  /** Name of the tag, field, label or column; null when no single one is to blame. */
  readonly field: string | null
  /** As text, at most 200 characters. */
  readonly value: string | null
  readonly reason: ProtocolReason
  /** What was wrong, what is allowed, what to do. */
  readonly message: string
  /** What was sent, as text, to be corrected and sent again; null where the protocol is not text. */
  readonly text: string | null
}

/** What came of some bytes. */
export interface Decoded<P> {
  readonly points: P[]
  /** The first `maxProblems` of them. */
  readonly problems: ProtocolProblem[]
  /** All of them. */
  readonly problemCount: number
}

/** Problems that are kept for one call; the rest is counted only. */
export const defaultMaxProblems = 1000

const mostShown = 200

/** A value as problems show it. */
export function shownValue(value: unknown): string {
  const text = typeof value === 'string' ? value : String(value)
  return text.length > mostShown ? `${text.slice(0, mostShown - 3)}...` : text
}

/** Keeps the first problems and counts all. */
export class Problems {
  readonly list: ProtocolProblem[] = []
  readonly #most: number
  #count = 0

  constructor(most: number = defaultMaxProblems) {
    this.#most = most
  }

  get count(): number {
    return this.#count
  }

  add(problem: ProtocolProblem): void {
    this.#count++
    if (this.list.length < this.#most) this.list.push(problem)
  }
}
