import type { Instant } from '../../time/index.ts'
import { type Decoded, type Point, Problems, shownValue } from '../contract.ts'
import { LineEnds } from './line-end.ts'
import type { LinePrecision } from './precision.ts'
import { LineFault, LineReader } from './read-line.ts'

export interface LineProtocolOptions {
  /** Time of lines that have none. */
  readonly receivedAt: Instant
  /** What the times count. Default 'ns', cut to microseconds. */
  readonly precision?: LinePrecision
  /** Bytes of one line. Default 64 KiB. */
  readonly maxLineBytes?: number
  /** Default 256. */
  readonly maxTags?: number
  /** Default 1024. */
  readonly maxFields?: number
  /** Problems that are kept; the rest is counted. Default 1000. */
  readonly maxProblems?: number
}

export const lineProtocolDefaults = Object.freeze({
  precision: 'ns',
  maxLineBytes: 65_536,
  maxTags: 256,
  maxFields: 1024,
} satisfies Omit<LineProtocolOptions, 'receivedAt' | 'maxProblems'>)

const newline = 10
const nothing = Buffer.alloc(0)

/**
 * Reads InfluxDB's line protocol from chunks that may be cut anywhere: the points and problems are the same wherever they are.
 * It holds at most one line besides the chunk.
 *
 * @example
 * const decoder = createLineProtocolDecoder({ receivedAt: clock.now() })
 * for await (const chunk of body) await write(decoder.push(chunk))
 * await write(decoder.end())
 * decoder.problems // what was not taken
 */
export interface LineProtocolDecoder {
  /** The points of the lines that ended in this chunk. */
  push(chunk: Uint8Array): Point[]
  /** The point of a last line without a newline. */
  end(): Point[]
  readonly problems: Decoded<Point>['problems']
  readonly problemCount: number
}

export function createLineProtocolDecoder(options: LineProtocolOptions): LineProtocolDecoder {
  return new Decoder(options)
}

/**
 * The points of one body.
 *
 * @example
 * const { points, problems } = decodeLineProtocol(Buffer.from('cpu,host=a usage=1.5 1700000000000000000'), {
 *   receivedAt: clock.now(),
 * })
 */
export function decodeLineProtocol(bytes: Uint8Array, options: LineProtocolOptions): Decoded<Point> {
  const decoder = new Decoder(options)
  const points = decoder.push(bytes)
  points.push(...decoder.end())
  return { points, problems: decoder.problems, problemCount: decoder.problemCount }
}

class Decoder implements LineProtocolDecoder {
  readonly #reader: LineReader
  readonly #receivedAt: Instant
  readonly #maxLineBytes: number
  readonly #problems: Problems
  /** The start of a line whose end has not come yet, in the pieces that came. */
  #rest: Buffer[] = []
  #restBytes = 0
  /** The rest of a line that was too long is passed over. */
  #isSkipping = false
  #index = 0
  #line = 1

  constructor(options: LineProtocolOptions) {
    const d = lineProtocolDefaults
    this.#reader = new LineReader(options.precision ?? d.precision, {
      maxTags: options.maxTags ?? d.maxTags,
      maxFields: options.maxFields ?? d.maxFields,
    })
    this.#receivedAt = options.receivedAt
    this.#maxLineBytes = options.maxLineBytes ?? d.maxLineBytes
    this.#problems = new Problems(options.maxProblems)
  }

  get problems(): Decoded<Point>['problems'] {
    return this.#problems.list
  }

  get problemCount(): number {
    return this.#problems.count
  }

  push(chunk: Uint8Array): Point[] {
    const piece = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    // Joined only when a line may have ended or grown too long: many small pieces of a line are copied once.
    if (
      this.#restBytes > 0 &&
      this.#restBytes + piece.length <= this.#maxLineBytes &&
      !piece.includes(newline)
    ) {
      this.#keep(piece)
      return []
    }
    return this.#take(this.#joined(piece), false)
  }

  end(): Point[] {
    return this.#take(this.#joined(nothing), true)
  }

  #joined(piece: Buffer): Buffer {
    if (this.#restBytes === 0) return piece
    const all = Buffer.concat([...this.#rest, piece])
    this.#rest = []
    this.#restBytes = 0
    return all
  }

  /** A copy: the sender's buffer may be used again. */
  #keep(piece: Buffer): void {
    if (piece.length === 0) return
    this.#rest.push(Buffer.from(piece))
    this.#restBytes += piece.length
  }

  #take(bytes: Buffer, isLast: boolean): Point[] {
    const points: Point[] = []
    const ends = new LineEnds(bytes)
    let from = 0
    while (from < bytes.length) {
      if (this.#isSkipping) {
        const end = bytes.indexOf(newline, from)
        if (end < 0) return points
        this.#isSkipping = false
        this.#line++
        from = end + 1
        continue
      }
      const found = ends.endOf(from, this.#maxLineBytes)
      const to = found < 0 ? bytes.length : found
      if (to - from > this.#maxLineBytes) {
        // Where its strings end is not known, so it is passed over up to the next newline, whatever that belongs to.
        this.#refuseLong(bytes, from)
        from += this.#maxLineBytes
        this.#line += newlinesIn(bytes, from - this.#maxLineBytes, from)
        this.#isSkipping = true
        continue
      }
      if (found < 0 && !isLast) {
        this.#keep(bytes.subarray(from))
        return points
      }
      this.#read(bytes, from, to, points)
      from = to + 1
    }
    return points
  }

  #read(bytes: Buffer, from: number, to: number, points: Point[]): void {
    try {
      const point = this.#reader.read(bytes, from, to, this.#index, this.#receivedAt)
      if (point !== null) {
        points.push(point)
        this.#index++
      }
    } catch (fault) {
      if (!(fault instanceof LineFault)) throw fault
      this.#problems.add({
        index: this.#index++,
        line: this.#line,
        column: fault.at - from + 1,
        field: fault.field,
        value: fault.value,
        reason: fault.reason,
        message: fault.message,
        text: bytes.toString('utf8', from, to),
      })
    }
    this.#line += 1 + newlinesIn(bytes, from, to)
  }

  #refuseLong(bytes: Buffer, from: number): void {
    const most = this.#maxLineBytes
    const text = bytes.toString('utf8', from, from + most)
    this.#problems.add({
      index: this.#index++,
      line: this.#line,
      column: most + 1,
      field: null,
      value: shownValue(text),
      reason: 'limit',
      message: `the line is longer than ${most} bytes; send shorter lines, and look for a quote that is not closed`,
      text,
    })
  }
}

/** Those inside of strings. */
function newlinesIn(bytes: Buffer, from: number, to: number): number {
  let count = 0
  let at = bytes.indexOf(newline, from)
  while (at >= 0 && at < to) {
    count++
    at = bytes.indexOf(newline, at + 1)
  }
  return count
}
