import type { BatchWriter, OpenBatch } from '../hot/index.ts'
import { openParquet, type ParquetBatch } from '../lake/index.ts'
import type { CanonicalValue } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { unreachable } from '../util/unreachable.ts'
import { BatchCommits } from './batch-commits.ts'
import type { ColdRun } from './cold-run.ts'
import { createReader } from './create-reader.ts'
import { CsvLane } from './csv-lane.ts'
import { CsvReader } from './csv-reader.ts'
import { DeadLimit } from './dead-limit.ts'
import type { RowSource } from './import-batch.ts'
import { ProgressTeller } from './import-progress.ts'
import type { ImportReport, ImportRequest } from './import-request.ts'
import { countDeadLetters, finishImport, type ImportClaim } from './ledger.ts'
import type { ResolvedImportOptions } from './options.ts'
import { ParquetLane } from './parquet-lane.ts'
import { type ImportPlan, usedFields } from './plan.ts'
import { RecordBatches } from './record-batches.ts'
import { RowMaker } from './row-maker.ts'
import { type ReadCounter, readSource, type SourceFile } from './source.ts'
import { toTextBlocks } from './text-blocks.ts'

/** One run over a file, from what earlier runs have left to its end: reads, hands batches over, waits for them. */
export class ImportRun {
  readonly #request: ImportRequest
  readonly #options: ResolvedImportOptions
  readonly #source: SourceFile
  readonly #plan: ImportPlan
  readonly #claim: ImportClaim
  readonly #maker: RowMaker
  /** Parquet: fields that columns are made of. */
  readonly #used: readonly number[]
  readonly #counter: ReadCounter = { bytes: 0 }
  readonly #startedAt = performance.now()
  readonly #stop = new AbortController()
  readonly #batches: RecordBatches
  readonly #commits: BatchCommits
  readonly #progress: ProgressTeller
  /** Null: rows go into PostgreSQL. */
  readonly #cold: ColdRun | null
  readonly #writer: BatchWriter
  #openBatch!: (first: number) => OpenBatch

  constructor(
    request: ImportRequest,
    options: ResolvedImportOptions,
    source: SourceFile,
    plan: ImportPlan,
    claim: ImportClaim,
    cold: ColdRun | null,
  ) {
    this.#request = request
    this.#options = options
    this.#source = source
    this.#plan = plan
    this.#claim = claim
    this.#cold = cold
    this.#writer = cold?.batches ?? request.writer
    const { definition } = request
    const inAnyOrder = options.onConflict === 'error'
    this.#maker = new RowMaker(source.path, plan, definition, cold !== null)
    this.#used = plan.format === 'parquet' ? usedFields(plan) : []
    this.#progress = new ProgressTeller(source.path, source.sizeBytes, request.onProgress)
    const deadLimit = new DeadLimit(source.path, options, claim.dead)
    this.#commits = new BatchCommits({
      writer: this.#writer,
      definition,
      file: source.path,
      claim,
      rules: options,
      // of rows with one key the first (ignore) or the last (update) of the file wins: batches have to keep their order
      connections: inAnyOrder ? options.connections : 1,
      deadLimit,
      makeRow: (...place) => this.#makeRow(...place),
      signal: this.#stop.signal,
    })
    this.#batches = new RecordBatches({
      plan,
      claim,
      batchRows: options.batchRows,
      maker: this.#maker,
      lane: inAnyOrder ? CsvLane.create(plan, definition) : null,
      deadLimit,
      keepsRows: cold === null,
      openBatch: (first) => {
        this.#progress.begin()
        return this.#openBatch(first)
      },
      onBatch: (batch) => this.#commits.add(batch),
    })
  }

  async run(): Promise<ImportReport> {
    const { signal } = this.#request
    const cancel = (): void => this.#stop.abort()
    signal?.addEventListener('abort', cancel, { once: true })
    let finished: Awaited<ReturnType<ColdRun['finish']>> | null = null
    try {
      this.#assertGoing()
      await this.#lookAtChunks()
      if (this.#plan.format === 'parquet') await this.#readParquet()
      else await this.#readText()
      this.#batches.end()
      await this.#flow(true)
      if (this.#batches.halt !== null) throw this.#batches.halt
      if (this.#cold !== null) finished = await this.#cold.finish(this.#stop.signal)
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
    const { db, definition } = this.#request
    const totals = finished?.totals ?? (await finishImport(db, this.#claim, 'done'))
    this.#counter.bytes = this.#source.sizeBytes
    this.#tell(true)
    return {
      importId: this.#claim.id,
      dataset: definition.name,
      file: this.#source.path,
      plan: this.#plan,
      isResumed: this.#claim.isResumed,
      records: this.#batches.records,
      recordsThisRun: this.#batches.recordsThisRun,
      rows: totals.rows,
      dead: totals.dead,
      deadByReason: totals.dead === 0 ? {} : await countDeadLetters(db, { importId: this.#claim.id }),
      ...this.#commits.written,
      notes: this.#maker.notes(),
      bytes: this.#source.sizeBytes,
      elapsedMs: performance.now() - this.#startedAt,
      cold: finished?.report ?? null,
    }
  }

  /** Waits for what is under way, whatever becomes of it: an import that failed leaves nothing running. */
  async settle(): Promise<void> {
    await this.#commits.settle()
    await this.#cold?.batches.close()
  }

  async #readText(): Promise<void> {
    const reader = createReader(this.#plan, this.#batches)
    this.#batches.isBytes = () => reader.isBytes
    const bytes = readSource(this.#source, this.#counter, this.#stop.signal)
    for await (const block of toTextBlocks(bytes, this.#source.path, this.#options.maxRecordBytes)) {
      reader.push(block)
      if (this.#batches.isEnough) return
      await this.#flow(false)
    }
    reader.end()
  }

  async #readParquet(): Promise<void> {
    const file = await openParquet(this.#source.path)
    const batches = this.#batches
    const inAnyOrder = this.#options.onConflict === 'error'
    const lane = inAnyOrder ? ParquetLane.create(this.#plan, this.#request.definition, this.#used) : null
    try {
      const names = this.#used.map((index) => this.#plan.fields[index]!)
      for await (const batch of file.read(names, this.#stop.signal)) {
        const { rowCount, columns } = batch
        const isRead = lane !== null && batches.parquetRows(lane, batch)
        for (let row = 0; row < rowCount && !isRead; row++) {
          if (lane !== null && batches.parquetRow(lane, columns, row)) continue
          batches.record(this.#parquetFields(columns, row), batches.records + 1, '', 0, 0)
        }
        this.#counter.bytes = Math.floor(
          (this.#source.sizeBytes * batches.records) / Math.max(1, file.rowCount),
        )
        if (batches.isEnough) return
        await this.#flow(false)
      }
    } finally {
      file.close()
    }
  }

  #parquetFields(columns: ParquetBatch['columns'], row: number): unknown[] {
    const fields: unknown[] = new Array(this.#plan.fields.length)
    for (let i = 0; i < this.#used.length; i++) fields[this.#used[i]!] = columns[i]!.get(row)
    return fields
  }

  /** A row that went the short way, the long way. */
  #makeRow(source: RowSource, line: number, from: number, to: number): CanonicalValue[] {
    const { separator, maxRecordBytes } = this.#plan
    let row: CanonicalValue[] | null = null
    if (typeof source === 'string') {
      const record = (fields: readonly unknown[]): void => {
        row = this.#maker.make(fields, line)
      }
      const dialect = { separator: separator!, maxRecordBytes, keepBlankLines: true }
      const reader = new CsvReader(dialect, { record, bad: () => {} })
      reader.push({ text: `${source.slice(from, to)}\n`, form: 'text' })
    } else row = this.#maker.make(this.#parquetFields(source, from), line)
    return row ?? unreachable(`row ${line} of ${this.#source.path} was read in two ways`)
  }

  /** Has batches written until there is room for more, or until all are. */
  async #flow(untilEmpty: boolean): Promise<void> {
    const relieved = this.#batches.relieve()
    if (relieved !== null) await relieved
    for (;;) {
      this.#assertGoing()
      const isRoom = this.#commits.start(untilEmpty)
      this.#tell(false)
      if (isRoom) break
      await this.#commits.next()
    }
    await this.#lookAtChunks()
    this.#assertGoing()
  }

  /** Batches are routed by the chunks that are known when they are begun. */
  async #lookAtChunks(): Promise<void> {
    const { definition } = this.#request
    const { onConflict, batchRows } = this.#options
    this.#openBatch = await this.#writer.batches(definition, onConflict, { batchRows })
  }

  #assertGoing(): void {
    this.#commits.assertGoing()
    if (this.#request.signal?.aborted)
      throw new TidemarkError('TM_CANCELLED', { what: `import of ${this.#source.path}` })
  }

  #tell(isLast: boolean): void {
    const { records, recordsThisRun } = this.#batches
    const counts = { bytesRead: this.#counter.bytes, records, recordsThisRun, ...this.#commits.committed }
    this.#progress.tell(counts, isLast)
  }
}
