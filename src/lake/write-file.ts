import { rm } from 'node:fs/promises'
import { formatInstant } from '../time/index.ts'
import {
  completeFile,
  contentOf,
  copyStatement,
  type FileContent,
  throttled,
  writeProblem,
} from './complete-file.ts'
import type { LakeFilesOptions, WriteFileRequest, WrittenFile } from './contract.ts'
import { cancelled, readCopyStream } from './copy-stream.ts'
import { createFeeds, type Feeds } from './feed.ts'
import { RowSpool } from './row-spool.ts'

export interface FileWriter {
  write(request: WriteFileRequest): Promise<WrittenFile | null>
}

export function createFileWriter(options: LakeFilesOptions): FileWriter {
  const feeds = createFeeds()
  return { write: (request) => write(options, feeds, request) }
}

async function write(
  options: LakeFilesOptions,
  feeds: Feeds,
  request: WriteFileRequest,
): Promise<WrittenFile | null> {
  const { duckdb, store } = options
  const { definition, range, rows, signal } = request
  const what = `the file for ${definition.name} from ${formatInstant(range.from)}`
  const report = throttled(request.onProgress)
  const localFile = await store.temporaryFile()
  try {
    const content = await duckdb.withConnection(signal, async (connection): Promise<FileContent | null> => {
      const spool = new RowSpool(definition, async () => connection, feeds)
      const { decoder } = spool
      try {
        await readCopyStream(
          rows,
          definition.name,
          signal,
          (bytes, view, start, end) => decoder.add(bytes, view, start, end),
          () => {
            report('read', decoder.tally.hash.count)
            return spool.relieve()
          },
        )
        decoder.finish()
        const rowCount = decoder.tally.hash.count
        if (rowCount === 0) return null
        const content = contentOf(what, range, decoder.tally, spool.layout())
        report('write', rowCount)
        await spool.use((source) => copyStatement(source, content.layout, localFile, spool.hasMinusZero))
        return content
      } finally {
        await spool.dispose()
      }
    })
    if (content === null) return null
    return await completeFile(options, {
      definition,
      from: range.from,
      what,
      localFile,
      content,
      signal,
      report,
    })
  } catch (error) {
    throw signal?.aborted ? cancelled(signal, `writing ${what}`) : writeProblem(what, error)
  } finally {
    await rm(localFile, { force: true })
  }
}
