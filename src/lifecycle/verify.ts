import { guardNames, hasGuard, hasTableGuard, uniqueColumns } from '../hot/index.ts'
import { equalBytes, isFilePath, sha256 } from '../lake/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { type ChunkFile, listChunks, listFiles, partitionOf, pathsOf, readDeletions } from './chunk-record.ts'
import type { LifecycleContext, MoveOptions, Subject } from './context.ts'

export interface VerifyProblem {
  /** `damaged`, `missing`: of a file, its rows are lost unless a copy is there; of a summary, nothing is. `catalog`, `guard`: see the message. `stray`: takes space. */
  readonly kind: 'missing' | 'damaged' | 'catalog' | 'guard' | 'stray'
  readonly path: string | null
  readonly problem: string
}

export interface VerifyReport {
  readonly files: number
  readonly rows: number
  readonly bytes: number
  readonly problems: readonly VerifyProblem[]
}

export interface VerifyOptions extends MoveOptions {
  /** Read every file (checksum, count, content hash); otherwise only whether it is there. Default true. */
  readonly content?: boolean
  /** Files of these chunks alone. Default: of every one. */
  readonly chunks?: ReadonlySet<bigint> | null
}

/** Compares the catalog with the store, file by file, and the guards with the catalog. Changes nothing. */
export async function verifyLake(
  context: LifecycleContext,
  subjects: readonly Subject[],
  options: VerifyOptions,
): Promise<VerifyReport> {
  const { db, store } = context
  const signal = options.signal ?? null
  const problems: VerifyProblem[] = []
  const total = { files: 0, rows: 0, bytes: 0 }
  const isMeant = (chunk: bigint): boolean => options.chunks?.has(chunk) ?? true
  for (const subject of subjects) {
    const files = await listFiles(db, subject.hypertable, null)
    problems.push(...(await chunkProblems(context, subject, files, isMeant)))
    for (const file of files.filter(({ chunkId }) => isMeant(chunkId))) {
      if (signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what: 'verifying the lake' })
      total.files += 1
      total.rows += file.rowCount - file.deletedRows
      total.bytes += file.bytes + (file.summary?.bytes ?? 0)
      problems.push(...(await fileProblems(context, subject, file, options)))
      options.onProgress?.({ chunk: file.chunkId, stage: 'verify', rows: total.rows, bytes: total.bytes })
    }
  }
  const { rows } = await db.query(sql`
    select path from tidemark.lake_file
    union all
    select summary_path from tidemark.lake_file where summary_path is not null
    union all
    select path from tidemark.lake_trash
    union all
    select path from tidemark.import_file
    union all
    select file -> 'summary' ->> 'path' from tidemark.import_file where file -> 'summary' ->> 'path' is not null`)
  const known = new Set(rows.map(([path]) => path as string))
  for await (const { path, bytes } of store.list('')) {
    if (isFilePath(path) && !known.has(path))
      problems.push({
        kind: 'stray',
        path,
        problem: `${bytes} bytes that no catalog names; sweep removes it`,
      })
  }
  return { ...total, problems }
}

async function fileProblems(
  context: LifecycleContext,
  { definition }: Subject,
  file: ChunkFile,
  options: VerifyOptions,
): Promise<VerifyProblem[]> {
  const { db, store, files } = context
  for (const { path, bytes } of pathsOf(file)) {
    const there = await store.stat(path)
    if (there === null) return [{ kind: 'missing', path, problem: `is not in ${store.description}` }]
    if (there.bytes !== bytes)
      return [{ kind: 'damaged', path, problem: `has ${there.bytes} bytes where ${bytes} were written` }]
  }
  const problems: VerifyProblem[] = []
  if (file.deletedRows > 0) {
    const positions = await readDeletions(db, file.id)
    const isTwice = positions.some((position, i) => i > 0 && positions[i - 1] === position)
    const isOutside = positions.some((position) => position < 0 || position >= file.rowCount)
    if (isTwice || isOutside)
      problems.push({
        kind: 'catalog',
        path: file.path,
        problem: 'rows that are not in it, or twice, are deleted',
      })
  }
  if (options.content ?? true) {
    try {
      await files.verify({ definition, file, signal: options.signal ?? null })
    } catch (error) {
      if (!isTidemarkError(error) || error.code !== 'TM_LAKE') throw error
      problems.push({ kind: 'damaged', path: file.path, problem: error.message })
    }
    const { summary } = file
    if (summary !== null) {
      const local = await store.localFile(summary.path, options.signal ?? null)
      if (!equalBytes(await sha256(local, options.signal ?? null), summary.checksum))
        problems.push({
          kind: 'damaged',
          path: summary.path,
          problem: 'its checksum is not the one that was noted; compact the chunk, which writes it anew',
        })
    }
  }
  return problems
}

async function chunkProblems(
  { db }: LifecycleContext,
  { definition, hypertable }: Subject,
  files: readonly ChunkFile[],
  isMeant: (chunk: bigint) => boolean,
): Promise<VerifyProblem[]> {
  const problems: VerifyProblem[] = []
  const chunks = (await listChunks(db, hypertable)).filter(({ id }) => isMeant(id))
  const say = (kind: VerifyProblem['kind'], problem: string): void => {
    problems.push({ kind, path: null, problem: `${definition.name}: ${problem}` })
  }
  for (const chunk of chunks) {
    const own = files.filter((file) => file.chunkId === chunk.id)
    if ((chunk.state === 'cold') !== own.length > 0)
      say('catalog', `chunk ${chunk.id} is ${chunk.state} with ${own.length} files`)
    for (const file of own) {
      if (file.minTime < chunk.range.from || file.maxTime >= chunk.range.to)
        say('catalog', `${file.path} holds times outside of chunk ${chunk.id}`)
    }
    const partition = partitionOf(chunk)
    if (chunk.state !== 'cold' || partition === null) continue
    const wanted: string[] = [guardNames.chunk]
    if ((await uniqueColumns(db, partition)) !== null) wanted.push(guardNames.key)
    for (const name of wanted) {
      if (!(await hasGuard(db, partition, name)))
        say('guard', `the guard ${name} of ${partition.schema}.${partition.table} is missing or disabled`)
    }
  }
  const hasCold = chunks.some((chunk) => chunk.state === 'cold')
  if (hasCold && !(await hasTableGuard(db, hypertable))) {
    say('guard', `the guard ${guardNames.table} of the table is missing or disabled`)
  }
  return problems
}
