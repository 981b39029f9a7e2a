import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import type { FileReference, LakeFiles, LakeFilesOptions } from './contract.ts'
import { cancelled } from './copy-stream.ts'
import { equalBytes, sha256 } from './file-digest.ts'
import { copyRows, hashFile } from './read-rows.ts'
import { findKeys, findMatching } from './search.ts'
import { refused } from './store/folder.ts'
import { draftSummary, storeSummary } from './summary.ts'
import { createFileWriter } from './write-file.ts'

/**
 * @example
 * const duckdb = createDuckDB({ temporaryDir: '.tidemark/lake/tmp/spill' })
 * const files = createLakeFiles({ duckdb, store: createFolderStore({ dir: '.tidemark/lake' }) })
 * const written = await files.write({ definition, range, rows: connection.copyTo(statement), signal: null })
 */
export function createLakeFiles(options: LakeFilesOptions): LakeFiles {
  const { duckdb, store } = options
  const writer = createFileWriter(options)
  return {
    write: (request) => writer.write(request),
    matching: (request) => findMatching(options, request),
    withKeys: (request) => findKeys(options, request),

    async *rows({ definition, file, choice, signal }) {
      const localFile = await store.localFile(file.path, signal)
      const columns = Object.entries(definition.columns).map(([name, { type }]) => ({ name, type }))
      yield* copyRows({ duckdb, what: file.path, localFile, layout: file.layout, columns, signal }, choice)
    },

    async verify({ file, signal }) {
      const localFile = await store.localFile(file.path, signal)
      const checksum = await sha256(localFile, signal).catch((error: unknown) => {
        throw isTidemarkError(error) ? error : refused(localFile, error)
      })
      if (!equalBytes(checksum, file.checksum))
        throw damaged(file, 'its checksum is not the one that was noted')
      const { rowCount, contentHash } = await hashFile({
        duckdb,
        what: file.path,
        localFile,
        layout: file.layout,
        signal,
      })
      if (rowCount !== file.rowCount) throw damaged(file, `it has ${rowCount} rows, not ${file.rowCount}`)
      if (!equalBytes(contentHash, file.contentHash))
        throw damaged(file, 'its rows are not those that were written, though its bytes are')
    },

    async summarize({ definition, file, signal }) {
      const localFile = await store.localFile(file.path, signal)
      const request = { ...options, definition, localFile, dataPath: file.path, layout: file.layout, signal }
      try {
        return await storeSummary(request, await draftSummary(request))
      } catch (error) {
        throw signal?.aborted ? cancelled(signal, `summarizing ${file.path}`) : error
      }
    },
  }
}

function damaged(file: FileReference, problem: string): TidemarkError {
  return new TidemarkError('TM_LAKE', {
    what: file.path,
    problem,
    todo: 'restore the file from a copy',
  })
}
