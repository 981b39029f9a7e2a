import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Queryable } from '../postgres/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { datasetOf } from './spool.ts'
import { codeOf, damagedName, isAlive, spoolsOf } from './spool-owner.ts'
import { lengthAt, recordAt } from './spool-record.ts'

/** What of a dataset waits in the spool of one process. */
export interface SpoolLaneStatus {
  readonly spool: string
  readonly dataset: string
  /** Whether the process lives that writes it; otherwise the next one takes it over. */
  readonly isOwned: boolean
  /** On disk; what is written already goes by whole files. */
  readonly bytes: number
  readonly waitingBytes: number
  /** When the oldest batch came that waits, ISO 8601; null: none does, or it cannot be read. */
  readonly oldest: string | null
  /** Lately, as its process has measured; null: not yet. */
  readonly bytesPerSecond: number | null
}

export interface SpoolStatus {
  readonly dir: string
  readonly bytes: number
  readonly waitingBytes: number
  readonly oldest: string | null
  readonly bytesPerSecond: number | null
  readonly lanes: readonly SpoolLaneStatus[]
}

/** The spools of all processes under a folder, as they are now. Reads one file of each dataset; changes nothing. */
export async function lookAtSpool(db: Queryable, dir: string): Promise<SpoolStatus> {
  const lanes: SpoolLaneStatus[] = []
  const owners = (await spoolsOf(dir)).filter((name) => name !== damagedName && !name.startsWith('.'))
  const positions = owners.length === 0 ? new Map<string, Position>() : await readPositions(db)
  for (const owner of owners) {
    const isOwned = await isAlive(join(dir, owner))
    for (const spool of await spoolsOf(join(dir, owner)))
      for (const folder of await spoolsOf(join(dir, owner, spool))) {
        const dataset = datasetOf(folder)
        const position = positions.get(`${spool} ${dataset}`)
        const found = await lookAtLane(join(dir, owner, spool, folder), position?.sequence ?? 0)
        lanes.push({ spool, dataset, isOwned, ...found, bytesPerSecond: position?.rate ?? null })
      }
  }
  const waiting = lanes.filter(({ waitingBytes }) => waitingBytes > 0)
  const rates = waiting.flatMap(({ bytesPerSecond }) => bytesPerSecond ?? [])
  return {
    dir,
    bytes: lanes.reduce((sum, { bytes }) => sum + bytes, 0),
    waitingBytes: waiting.reduce((sum, { waitingBytes }) => sum + waitingBytes, 0),
    oldest: waiting.flatMap(({ oldest }) => oldest ?? []).sort()[0] ?? null,
    bytesPerSecond: rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate),
    lanes,
  }
}

interface Position {
  readonly sequence: number
  readonly rate: number | null
}

async function readPositions(db: Queryable): Promise<ReadonlyMap<string, Position>> {
  try {
    const { rows } = await db.query(sql`
      select spool::text, dataset, sequence, bytes_per_second from tidemark.spool_position`)
    return new Map(
      rows.map(([spool, dataset, sequence, rate]) => [
        `${spool} ${dataset}`,
        { sequence: Number(sequence), rate: rate as number | null },
      ]),
    )
  } catch (error) {
    // before the catalog is migrated nothing of it can be stored
    if (isTidemarkError(error) && error.code === 'TM_DATABASE') return new Map()
    throw error
  }
}

/** A file may go while it is looked at: then it was written. */
async function lookAtLane(
  dir: string,
  stored: number,
): Promise<Pick<SpoolLaneStatus, 'bytes' | 'waitingBytes' | 'oldest'>> {
  const segments: { readonly path: string; readonly first: number; readonly bytes: number }[] = []
  for (const name of (await readdir(dir).catch(passOverGone([] as string[]))).sort()) {
    const first = /^(\d+)\.spool$/.exec(name)?.[1]
    if (first === undefined) continue
    const path = join(dir, name)
    const { size } = await stat(path).catch(passOverGone({ size: 0 }))
    segments.push({ path, first: Number(first), bytes: size })
  }
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
  const at = segments.findLastIndex(({ first }) => first <= stored + 1)
  const waiting = segments.slice(Math.max(0, at))
  const [segment] = waiting
  if (segment === undefined) return { bytes, waitingBytes: 0, oldest: null }
  const content = await readFile(segment.path).catch(passOverGone(Buffer.alloc(0)))
  let offset = 0
  for (let sequence = segment.first; sequence <= stored; sequence += 1) {
    const length = lengthAt(content, offset)
    if (length === null) break
    offset += length
  }
  const after = waiting.slice(1).reduce((sum, one) => sum + one.bytes, 0)
  const record = recordAt(content, Math.min(offset, content.length))
  return {
    bytes,
    waitingBytes: Math.max(0, content.length - offset) + after,
    oldest: record === null ? null : new Date(record.atMs).toISOString(),
  }
}

function passOverGone<T>(otherwise: T): (error: unknown) => T {
  return (error) => {
    if (codeOf(error) === 'ENOENT') return otherwise
    throw error
  }
}
