import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import type { TimeRange } from '../time/index.ts'
import type { NewEntry, Ticket } from './contract.ts'

const deflate = promisify<Buffer, { level: number }, Buffer>(deflateRaw)
const inflate = promisify<Buffer, { maxOutputLength: number }, Buffer>(inflateRaw)

/** From so many bytes on, compressing costs less than sending. */
const leastCompressed = 2048

interface Header {
  readonly era: string
  readonly versions: readonly string[]
  readonly ranges: readonly (readonly [string, string])[] | null
  readonly lifeMs: number
  /** Of the body; null: it is not compressed. */
  readonly inflated: number | null
}

/** An entry as it lies in Redis: length of the header, header as JSON, body. */
export async function encodeValue(ticket: Ticket, { body, ranges, lifeMs }: NewEntry): Promise<Buffer> {
  const isLarge = body.length >= leastCompressed
  const shown = isLarge ? await deflate(body, { level: 1 }) : body
  const header: Header = {
    era: ticket.era,
    versions: ticket.versions,
    ranges: ranges?.map(({ from, to }) => [String(from), String(to)] as const) ?? null,
    lifeMs,
    inflated: isLarge ? body.length : null,
  }
  const head = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(head.length)
  return Buffer.concat([length, head, shown])
}

/** A value whose header is read; the body is inflated when it is wanted, null where it is damaged. */
export interface RedisValue extends Ticket {
  readonly ranges: readonly TimeRange[] | null
  readonly lifeMs: number
  body(): Promise<Buffer | null>
}

/** Null: it is none of ours. */
export function decodeValue(value: Buffer): RedisValue | null {
  if (value.length < 4) return null
  const end = 4 + value.readUInt32LE(0)
  if (end > value.length) return null
  try {
    const { era, versions, ranges, lifeMs, inflated } = JSON.parse(value.toString('utf8', 4, end)) as Header
    if (!Array.isArray(versions)) return null
    const rest = value.subarray(end)
    return {
      era,
      versions,
      ranges: ranges?.map(([from, to]) => ({ from: BigInt(from), to: BigInt(to) })) ?? null,
      lifeMs,
      body: async () =>
        inflated === null
          ? rest
          : inflate(rest, { maxOutputLength: Math.max(1, inflated) }).catch(() => null),
    }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return null
    throw error
  }
}
