import { crc32 } from 'node:zlib'

/** One record of the spool: a batch that was acknowledged, or is about to be. */
export interface SpoolRecord {
  /** From 1, without a gap. */
  readonly sequence: number
  /** When it came: ms since the epoch. */
  readonly atMs: number
  readonly content: Buffer
  /** With its header. */
  readonly bytes: number
}

/**
 * Checksum of all that follows (u32), bytes of the content (u32), sequence (u64), the last sequence that was known to be on
 * disk when this one was written (u64), time (u64); little-endian. CRC-32 as zlib has it: it runs in native code.
 */
export const headerBytes = 32

/** A record holds at most this much: what a Buffer of Node 20 takes with room to spare. */
export const maxContentBytes = 1024 ** 3

export function encodeRecord(record: {
  readonly sequence: number
  /** All up to this one are on disk. */
  readonly durable: number
  readonly atMs: number
  readonly content: Uint8Array
}): Buffer {
  const { content } = record
  const bytes = Buffer.allocUnsafe(headerBytes + content.length)
  bytes.writeUInt32LE(content.length, 4)
  bytes.writeBigUInt64LE(BigInt(record.sequence), 8)
  bytes.writeBigUInt64LE(BigInt(record.durable), 16)
  bytes.writeBigUInt64LE(BigInt(record.atMs), 24)
  bytes.set(content, headerBytes)
  bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0)
  return bytes
}

/** The record at a place; null: there is none that is whole. */
export function recordAt(bytes: Buffer, at: number): (SpoolRecord & { readonly durable: number }) | null {
  if (bytes.length - at < headerBytes) return null
  const length = bytes.readUInt32LE(at + 4)
  const end = at + headerBytes + length
  if (length > maxContentBytes || end > bytes.length) return null
  if (bytes.readUInt32LE(at) !== crc32(bytes.subarray(at + 4, end))) return null
  return {
    sequence: Number(bytes.readBigUInt64LE(at + 8)),
    durable: Number(bytes.readBigUInt64LE(at + 16)),
    atMs: Number(bytes.readBigUInt64LE(at + 24)),
    content: bytes.subarray(at + headerBytes, end),
    bytes: headerBytes + length,
  }
}

/** How many bytes the record at a place says to have, with its header; null: the header is not whole. */
export function lengthAt(bytes: Buffer, at: number): number | null {
  return bytes.length - at < headerBytes ? null : headerBytes + bytes.readUInt32LE(at + 4)
}

/** Sequences behind damage that are believed: a gap is never larger. */
const maxGap = 1e9

/** The next whole record behind damage at `from`, where `sequence` should have been. */
export function nextRecord(
  bytes: Buffer,
  from: number,
  sequence: number,
): { readonly at: number; readonly sequence: number; readonly durable: number } | null {
  for (let at = from + 1; at + headerBytes <= bytes.length; at += 1) {
    // the upper half of the number says no nearly everywhere, without a checksum
    if (bytes.readUInt32LE(at + 12) > 0x1f_ffff) continue
    const found = Number(bytes.readBigUInt64LE(at + 8))
    if (found < sequence || found > sequence + maxGap) continue
    const record = recordAt(bytes, at)
    if (record !== null) return { at, sequence: found, durable: record.durable }
  }
  return null
}
