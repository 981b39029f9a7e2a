import { createHash, randomUUID } from 'node:crypto'
import { open, readFile, rm } from 'node:fs/promises'
import type { LakeFiles, ObjectStore, RowStream, WrittenFile } from '../../src/lake/index.ts'
import { formatInstant, type Instant } from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'

/**
 * Files of the lake without DuckDB: the COPY BINARY stream as it came. For tests of what happens around files: quick, and
 * small enough to be read by eye.
 */
export function createPlainFiles(store: ObjectStore): LakeFiles {
  return {
    async write({ definition, range, rows }) {
      const bytes = await collect(rows)
      const tuples = parseTuples(bytes)
      if (tuples.length === 0) return null
      const at = Object.keys(definition.columns).indexOf(definition.time)
      const times = tuples.map((tuple) => readTime(tuple[at]!))
      const local = await store.temporaryFile()
      const handle = await open(local, 'w')
      await handle.writeFile(bytes)
      await handle.close()
      const from = formatInstant(range.from).replaceAll(':', '')
      const path = `${definition.schema}.${definition.table}/${from}/${randomUUID()}.parquet`
      await store.put(local, path, null)
      const file: WrittenFile = {
        path,
        rowCount: tuples.length,
        bytes: bytes.length,
        minTime: times.reduce((a, b) => (a < b ? a : b)),
        maxTime: times.reduce((a, b) => (a > b ? a : b)),
        checksum: sha256(bytes),
        contentHash: sumOf(tuples),
        layout: { version: 1, columns: {}, order: [], time: definition.time, sortedBy: [] },
        stats: {},
        summary: null,
      }
      return file
    },

    async *rows({ file, choice }) {
      const bytes = await readWhole(store, file.path)
      const tuples = parseTuples(bytes)
      const chosen = new Set(choice.kind === 'all' ? [] : choice.positions)
      const kept = tuples.filter((_, i) =>
        choice.kind === 'all' ? true : choice.kind === 'only' ? chosen.has(i) : !chosen.has(i),
      )
      yield* printTuples(kept)
    },

    async verify({ file }) {
      const bytes = await readWhole(store, file.path)
      if (!sha256(bytes).equals(Buffer.from(file.checksum))) throw damaged(file.path, 'its checksum differs')
      const tuples = parseTuples(bytes)
      if (tuples.length !== file.rowCount || !sumOf(tuples).equals(Buffer.from(file.contentHash)))
        throw damaged(file.path, 'its rows differ')
    },

    async summarize() {
      return null
    },

    matching: () => notSearched(),
    withKeys: () => notSearched(),
  }
}

/** Tests that look into files have real ones. */
async function notSearched(): Promise<never> {
  throw new Error('plain files are not searched')
}

async function readWhole(store: ObjectStore, path: string): Promise<Buffer> {
  return readFile(await store.localFile(path, null))
}

export async function damage(store: ObjectStore, path: string): Promise<void> {
  const local = await store.localFile(path, null)
  const bytes = await readFile(local)
  bytes[30] = bytes[30]! ^ 1
  await rm(local)
  const handle = await open(local, 'w')
  await handle.writeFile(bytes)
  await handle.close()
}

function damaged(path: string, problem: string): TidemarkError {
  return new TidemarkError('TM_LAKE', { what: path, problem, todo: 'take it from a copy' })
}

async function collect(rows: RowStream): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of rows) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

type Tuple = readonly (Buffer | null)[]

export function parseTuples(bytes: Buffer): Tuple[] {
  const tuples: Tuple[] = []
  let at = 19
  for (;;) {
    const fields = bytes.readInt16BE(at)
    at += 2
    if (fields === -1) break
    const tuple: (Buffer | null)[] = []
    for (let i = 0; i < fields; i += 1) {
      const size = bytes.readInt32BE(at)
      at += 4
      tuple.push(size < 0 ? null : bytes.subarray(at, at + size))
      at += Math.max(size, 0)
    }
    tuples.push(tuple)
  }
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes follow the trailer`)
  return tuples
}

function* printTuples(tuples: readonly Tuple[]): Generator<Uint8Array> {
  yield Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
  for (const tuple of tuples) yield printTuple(tuple)
  yield Buffer.from([0xff, 0xff])
}

function printTuple(tuple: Tuple): Buffer {
  const head = Buffer.alloc(2)
  head.writeInt16BE(tuple.length)
  const fields = tuple.flatMap((field) => {
    const size = Buffer.alloc(4)
    size.writeInt32BE(field === null ? -1 : field.length)
    return field === null ? [size] : [size, field]
  })
  return Buffer.concat([head, ...fields])
}

function sumOf(tuples: readonly Tuple[]): Buffer {
  let sum = 0n
  for (const tuple of tuples) sum += BigInt(`0x${sha256(printTuple(tuple)).subarray(0, 16).toString('hex')}`)
  return Buffer.from((sum % (1n << 128n)).toString(16).padStart(32, '0'), 'hex')
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

function readTime(field: Buffer): Instant {
  return field.readBigInt64BE(0) + 946684800000000n
}
