import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { pipeline, type Transform } from 'node:stream'
import * as zlib from 'node:zlib'
import { TidemarkError } from '../util/errors.ts'

export type Compression = 'none' | 'gzip' | 'zstd'

/** A file that can be read, with what its first bytes say about it. */
export interface SourceFile {
  readonly path: string
  /** Bytes on disk. */
  readonly sizeBytes: number
  readonly compression: Compression
  readonly isParquet: boolean
  /** Hex SHA-256 over the size and the content; see {@link fingerprintFile}. */
  readonly fingerprint: string
}

/** Bytes of the file as stored that have been read so far; for progress. */
export interface ReadCounter {
  bytes: number
}

const fingerprintBytes = 1 << 20
const readBytes = 1 << 18

/** What other programs write and Tidemark does not read: magic bytes, name, and the command that unpacks it. */
const foreignMagic: readonly { bytes: readonly number[]; name: string; todo: string }[] = [
  { bytes: [0x42, 0x5a, 0x68], name: 'a bzip2 file', todo: 'unpack it first: bzip2 -dk FILE' },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a], name: 'an xz file', todo: 'unpack it first: xz -dk FILE' },
  {
    bytes: [0x50, 0x4b, 0x03, 0x04],
    name: 'a zip archive (or spreadsheet)',
    todo: 'unpack it or save it as CSV',
  },
  {
    bytes: [0x53, 0x51, 0x4c, 0x69, 0x74, 0x65],
    name: 'an SQLite database',
    todo: 'export the table as CSV',
  },
]

/** Opens, looks at the first bytes, closes. Every way in which a path can be no file of rows ends here. */
export async function inspectFile(path: string): Promise<SourceFile> {
  let handle: FileHandle
  try {
    handle = await open(path, 'r')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    const problem =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EACCES'
          ? 'it may not be read'
          : `it cannot be opened (${code})`
    throw new TidemarkError('TM_IMPORT', { file: path, problem, todo: 'check the path' }, { cause })
  }
  try {
    const info = await handle.stat()
    if (info.isDirectory())
      throw new TidemarkError('TM_IMPORT', {
        file: path,
        problem: 'it is a directory',
        todo: 'name the files in it',
      })
    if (!info.isFile())
      throw new TidemarkError('TM_IMPORT', {
        file: path,
        problem: 'it is no regular file, so an import of it could not be resumed',
        todo: 'save it to a file first',
      })
    if (info.size === 0)
      throw new TidemarkError('TM_IMPORT', {
        file: path,
        problem: 'it is empty',
        todo: 'give a file with rows',
      })
    const head = Buffer.alloc(8)
    const { bytesRead } = await handle.read(head, 0, head.length, 0)
    const magic = head.subarray(0, bytesRead)
    for (const foreign of foreignMagic) {
      if (foreign.bytes.every((byte, i) => magic[i] === byte))
        throw new TidemarkError('TM_IMPORT', {
          file: path,
          problem: `it is ${foreign.name}, which is not read`,
          todo: foreign.todo.replace('FILE', path),
        })
    }
    let compression: Compression = 'none'
    if (magic[0] === 0x1f && magic[1] === 0x8b) compression = 'gzip'
    if (magic.length >= 4 && magic.readUInt32LE(0) === 0xfd2fb528) compression = 'zstd'
    return {
      path,
      sizeBytes: info.size,
      compression,
      isParquet: magic.subarray(0, 4).toString('latin1') === 'PAR1',
      fingerprint: await fingerprintFile(handle, info.size),
    }
  } finally {
    await handle.close()
  }
}

/**
 * What makes a file the same file: every byte of it. Not its name or its times: a copy is the same file, and one in
 * which a single value was corrected is another, whose rows must not be taken for those that are in. About 1 s a GB.
 */
async function fingerprintFile(handle: FileHandle, size: number): Promise<string> {
  const hash = createHash('sha256').update(`tidemark import 2 ${size}\n`)
  const buffer = Buffer.allocUnsafe(fingerprintBytes)
  for (let at = 0; at < size; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, size - at), at)
    if (bytesRead === 0) break
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  return hash.digest('hex')
}

/** The file's content, unpacked, in blocks of some hundred KiB. Reads no faster than it is asked. */
export async function* readSource(
  source: SourceFile,
  counter: ReadCounter,
  signal?: AbortSignal | null,
): AsyncGenerator<Buffer> {
  const file = createReadStream(source.path, { highWaterMark: readBytes, end: source.sizeBytes - 1 })
  const unpack = createUnpacker(source)
  const out = unpack ? pipeline(file, unpack, () => {}) : file
  try {
    for await (const chunk of out) {
      if (signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what: `import of ${source.path}` })
      counter.bytes = file.bytesRead
      yield chunk as Buffer
    }
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause
    throw await readProblem(source, cause)
  } finally {
    file.destroy()
    unpack?.destroy()
  }
}

function createUnpacker(source: SourceFile): Transform | null {
  if (source.compression === 'gzip') return zlib.createGunzip({ chunkSize: readBytes })
  if (source.compression === 'zstd') {
    const create = (zlib as unknown as { createZstdDecompress?: (options: object) => Transform })
      .createZstdDecompress
    if (!create)
      throw new TidemarkError('TM_IMPORT', {
        file: source.path,
        problem: `it is packed with zstd, which Node.js ${process.versions.node} cannot unpack (22.15 and later can)`,
        todo: `unpack it first: zstd -dk ${source.path}`,
      })
    return create({ chunkSize: readBytes })
  }
  return null
}

async function readProblem(source: SourceFile, cause: unknown): Promise<TidemarkError> {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
  const size = await stat(source.path).then(
    (info) => info.size,
    () => -1,
  )
  const problem =
    code === 'Z_BUF_ERROR'
      ? 'the packed file ends too early: it is cut off'
      : code === 'Z_DATA_ERROR' || code.startsWith('ZSTD')
        ? 'the packed file is damaged'
        : size !== source.sizeBytes
          ? 'the file changed while it was read'
          : `it cannot be read (${code})`
  return new TidemarkError(
    'TM_IMPORT',
    {
      file: source.path,
      problem,
      todo: 'get a whole copy of the file; rows of batches that were committed stay, and a whole copy is another file to Tidemark',
    },
    { cause },
  )
}
