import type { Instant } from '../../time/index.ts'
import { type FieldValue, type Point, type ProtocolReason, shownValue } from '../contract.ts'
import { EncodingFault, hashFactor, hashStart, TextCache } from '../wire/text-cache.ts'
import { readFloat, readInteger } from './numbers.ts'
import { instantOfCount, type LinePrecision, microsOfNanoDigits } from './precision.ts'

/** What is wrong with a line. No Error: it is thrown for each bad line, and a stack costs more than the line. */
export class LineFault {
  /** Place in the bytes. */
  readonly at: number
  readonly field: string | null
  readonly value: string | null
  readonly reason: ProtocolReason
  readonly message: string

  constructor(
    at: number,
    field: string | null,
    value: string | null,
    reason: ProtocolReason,
    message: string,
  ) {
    this.at = at
    this.field = field
    this.value = value
    this.reason = reason
    this.message = message
  }
}

export interface LineLimits {
  readonly maxTags: number
  readonly maxFields: number
}

const space = 32
const quote = 34
const comma = 44
const equals = 61
const backslash = 92

const least64 = -(2n ** 63n)
const most64 = 2n ** 63n - 1n
const mostUnsigned64 = 2n ** 64n - 1n

/** Reads one line at a time. Made once for many lines: it keeps names that come again. */
export class LineReader {
  readonly #texts = new TextCache()
  readonly #precision: LinePrecision
  readonly #limits: LineLimits
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  #end = 0

  constructor(precision: LinePrecision, limits: LineLimits) {
    this.#precision = precision
    this.#limits = limits
  }

  /**
   * The point in `bytes[from, to)`, which is a line without its newline; null for a comment or an empty line.
   *
   * @throws LineFault
   */
  read(bytes: Buffer, from: number, to: number, index: number, receivedAt: Instant): Point | null {
    this.#bytes = bytes
    this.#at = from
    this.#end = to
    while (this.#end > from && isBlank(bytes[this.#end - 1]!)) this.#end--
    this.#skipBlanks()
    if (this.#at === this.#end || bytes[this.#at] === 35) return null

    const measurement = this.#name('the measurement', false)
    const tagKeys: string[] = []
    const tagValues: string[] = []
    while (bytes[this.#at] === comma && this.#at < this.#end) {
      this.#at++
      this.#tag(tagKeys, tagValues)
    }
    if (this.#at < this.#end && bytes[this.#at] === equals)
      throw this.#fault('an equals sign stands where a comma or a space belongs; escape it as \\=')
    if (this.#at === this.#end) throw this.#missingFields()
    this.#skipBlanks()
    const fieldKeys: string[] = []
    const fieldValues: FieldValue[] = []
    this.#field(fieldKeys, fieldValues)
    while (this.#at < this.#end && bytes[this.#at] === comma) {
      this.#at++
      this.#field(fieldKeys, fieldValues)
    }
    const time = this.#at === this.#end ? receivedAt : this.#time()
    return { index, measurement, tagKeys, tagValues, fieldKeys, fieldValues, time }
  }

  #tag(keys: string[], values: string[]): void {
    const start = this.#at
    const key = this.#name('a tag', true)
    if (this.#at === this.#end || this.#bytes[this.#at] !== equals)
      throw new LineFault(
        start,
        key,
        null,
        'syntax',
        `tag ${JSON.stringify(key)} has no value; write key=value`,
      )
    this.#at++
    if (this.#at === this.#end || this.#bytes[this.#at] === comma || this.#bytes[this.#at] === space)
      throw new LineFault(this.#at, key, null, 'syntax', `tag ${JSON.stringify(key)} is empty; leave it out`)
    if (keys.includes(key))
      throw new LineFault(start, key, null, 'duplicate', `tag ${JSON.stringify(key)} is there twice`)
    if (keys.length >= this.#limits.maxTags)
      throw new LineFault(start, key, null, 'limit', `the line has more than ${this.#limits.maxTags} tags`)
    keys.push(key)
    values.push(this.#name('a tag value', true))
    if (this.#at < this.#end && this.#bytes[this.#at] === equals)
      throw this.#fault('a tag value holds a bare equals sign; escape it as \\=')
  }

  #field(keys: string[], values: FieldValue[]): void {
    const start = this.#at
    if (start === this.#end) throw this.#missingFields()
    const key = this.#name('a field', true)
    if (this.#at === this.#end || this.#bytes[this.#at] !== equals)
      throw new LineFault(
        start,
        key,
        null,
        'syntax',
        `field ${JSON.stringify(key)} has no value; write key=value, and escape spaces in names`,
      )
    this.#at++
    if (keys.includes(key))
      throw new LineFault(start, key, null, 'duplicate', `field ${JSON.stringify(key)} is there twice`)
    if (keys.length >= this.#limits.maxFields)
      throw new LineFault(
        start,
        key,
        null,
        'limit',
        `the line has more than ${this.#limits.maxFields} fields`,
      )
    keys.push(key)
    values.push(this.#bytes[this.#at] === quote && this.#at < this.#end ? this.#string(key) : this.#bare(key))
  }

  /** A measurement, key or tag value: up to a bare comma, space or (`withEquals`) equals sign. */
  #name(what: string, withEquals: boolean): string {
    const bytes = this.#bytes
    const end = this.#end
    const start = this.#at
    let at = start
    let hash = hashStart
    let all = 0
    let isEscaped = false
    for (; at < end; at++) {
      const byte = bytes[at]!
      if (byte === comma || byte === space || (byte === equals && withEquals)) break
      if (byte === backslash && at + 1 < end && canEscape(bytes[at + 1]!, withEquals)) {
        isEscaped = true
        at++
      }
      all |= byte
      hash = Math.imul(hash ^ byte, hashFactor)
    }
    this.#at = at
    if (at === start) throw new LineFault(at, null, null, 'syntax', `${what} has no name here`)
    // an escaped character is ASCII, so `all` tells of the rest
    if (!isEscaped && all < 128) return this.#texts.ascii(bytes, start, at, hash)
    const text = this.#text(start, at)
    return isEscaped ? text.replace(withEquals ? /\\([,= ])/g : /\\([, ])/g, '$1') : text
  }

  #string(key: string): string {
    const bytes = this.#bytes
    const end = this.#end
    const start = this.#at + 1
    let at = start
    let isEscaped = false
    for (; at < end && bytes[at] !== quote; at++) {
      if (bytes[at] === backslash && (bytes[at + 1] === quote || bytes[at + 1] === backslash)) {
        isEscaped = true
        at++
      }
    }
    if (at >= end)
      throw new LineFault(
        start - 1,
        key,
        shownValue(this.#loose(start - 1, end)),
        'syntax',
        `the string of field ${JSON.stringify(key)} is not closed; end it with a quote, and escape quotes in it as \\"`,
      )
    this.#at = at + 1
    const text = this.#text(start, at)
    if (this.#at < end && bytes[this.#at] !== comma && !isBlank(bytes[this.#at]!))
      throw this.#fault(
        `text follows the closing quote of field ${JSON.stringify(key)}; escape quotes in it as \\"`,
      )
    return isEscaped ? text.replace(/\\(["\\])/g, '$1') : text
  }

  /** A number or a boolean. */
  #bare(key: string): FieldValue {
    const bytes = this.#bytes
    const start = this.#at
    let at = start
    while (at < this.#end && bytes[at] !== comma && !isBlank(bytes[at]!)) at++
    this.#at = at
    if (at === start)
      throw new LineFault(start, key, null, 'syntax', `field ${JSON.stringify(key)} is empty; leave it out`)
    const last = bytes[at - 1]!
    if (last === 105 || last === 117) {
      const value = readInteger(bytes, start, at - 1)
      if (value !== null) {
        const isSigned = last === 105
        if (typeof value === 'number' ? isSigned || value >= 0 : fits(value, isSigned)) return value
        throw this.#badValue(
          start,
          key,
          'range',
          isSigned ? 'is outside of a signed 64-bit integer' : 'is outside of an unsigned 64-bit integer',
        )
      }
    } else {
      const value = readFloat(bytes, start, at)
      if (Number.isFinite(value)) return value
      if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY)
        throw this.#badValue(start, key, 'range', 'is outside of a 64-bit float')
      const word = at - start <= 5 ? booleans.get(bytes.toString('latin1', start, at)) : undefined
      if (word !== undefined) return word
    }
    throw this.#badValue(
      start,
      key,
      'type',
      'is no value: write a float (1.5), an integer (5i), an unsigned integer (5u), true or false, or a "quoted string"',
    )
  }

  #time(): Instant {
    const bytes = this.#bytes
    this.#skipBlanks()
    const start = this.#at
    const instant = this.#precision === 'ns' ? microsOfNanoDigits(bytes, start, this.#end) : null
    if (instant !== null) return instant
    const count = readInteger(bytes, start, this.#end)
    if (count === null)
      throw this.#badValue(
        start,
        null,
        'syntax',
        'is no timestamp: a whole number comes behind the fields, and nothing behind that',
        this.#end,
      )
    const read = instantOfCount(count, this.#precision)
    if (read === null)
      throw this.#badValue(
        start,
        null,
        'range',
        `${this.#precision} since 1970 is outside of the times that rows can have; is the precision right?`,
        this.#end,
      )
    return read
  }

  #skipBlanks(): void {
    while (this.#at < this.#end && isBlank(this.#bytes[this.#at]!)) this.#at++
  }

  #text(from: number, to: number): string {
    try {
      return this.#texts.decode(this.#bytes, from, to)
    } catch (fault) {
      if (!(fault instanceof EncodingFault)) throw fault
      throw new LineFault(
        from,
        null,
        shownValue(this.#loose(from, to)),
        'encoding',
        'the text is not UTF-8; send UTF-8, or replace the bytes that are not',
      )
    }
  }

  /** For messages: bytes that are no UTF-8 are shown as U+FFFD. */
  #loose(from: number, to: number): string {
    return this.#bytes.toString('utf8', from, Math.min(to, from + 1000))
  }

  #badValue(
    start: number,
    field: string | null,
    reason: ProtocolReason,
    problem: string,
    to = this.#at,
  ): LineFault {
    const value = shownValue(this.#loose(start, to))
    const where = field === null ? '' : `field ${JSON.stringify(field)}: `
    return new LineFault(start, field, value, reason, `${where}${JSON.stringify(value)} ${problem}`)
  }

  #fault(message: string): LineFault {
    return new LineFault(this.#at, null, null, 'syntax', message)
  }

  #missingFields(): LineFault {
    return this.#fault('the line has no fields; write measurement,tag=value field=value timestamp')
  }
}

function canEscape(byte: number, withEquals: boolean): boolean {
  return byte === comma || byte === space || (byte === equals && withEquals)
}

/** Space, tab, carriage return. */
function isBlank(byte: number): boolean {
  return byte === space || byte === 9 || byte === 13
}

function fits(value: bigint, isSigned: boolean): boolean {
  return isSigned ? value >= least64 && value <= most64 : value >= 0n && value <= mostUnsigned64
}

const booleans = new Map<string, boolean>([
  ...['t', 'T', 'true', 'True', 'TRUE'].map((word): [string, boolean] => [word, true]),
  ...['f', 'F', 'false', 'False', 'FALSE'].map((word): [string, boolean] => [word, false]),
])
