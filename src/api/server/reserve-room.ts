import type { FastifyReply, FastifyRequest } from 'fastify'
import { requestSignal } from './request-signal.ts'

/** Of a body whose length is not said before it is sent. */
const unknownBytes = 8 * 1024 * 1024
/** Bytes of rows that come out of a gzipped one, mostly. */
const unpackedPerByte = 8
/** Memory of parsed and converted rows to a byte of their text. */
const memoryPerByte = 4

/**
 * Waits for memory before the body is read: meanwhile nobody reads the socket, so the sender waits, too. The room is given
 * back when the request has ended, in whatever way.
 *
 * @param mostBytes of memory, where a body is written piece by piece while it comes
 */
export async function reserveRoom(
  request: FastifyRequest,
  reply: FastifyReply,
  mostBytes = Number.POSITIVE_INFINITY,
): Promise<void> {
  const release = await request.tm.reserve(Math.min(mostBytes, memoryOf(request)), requestSignal(reply))
  if (reply.raw.closed) return release()
  // whichever comes: a client that has gone never finishes
  reply.raw.once('finish', release)
  reply.raw.once('close', release)
}

function memoryOf({ headers }: FastifyRequest): number {
  const length = Number(headers['content-length'])
  if (headers['content-length'] === undefined || !Number.isSafeInteger(length))
    return unknownBytes * memoryPerByte
  const isPacked = headers['content-encoding'] === 'gzip' || headers['content-encoding'] === 'zstd'
  return length * memoryPerByte * (isPacked ? unpackedPerByte : 1)
}
