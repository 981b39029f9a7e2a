import type { BatchInsert, BatchWriter, OpenBatch, WrittenCounts } from '../hot/index.ts'
import { openParquet, type ParquetBatch } from '../lake/index.ts'
import type { Database } from '../postgres/index.ts'
import type { CanonicalValue, StoredDefinition } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import type { ColumnNotes } from './convert.ts'
import { createReader } from './create-reader.ts'
import { CsvLane } from './csv-lane.ts'
import { CsvReader } from './csv-reader.ts'
import {
  claimImport,
  commitBatch,
  countDeadLetters,
  type DeadLetter,
  finishImport,
  type ImportClaim,
  isImported,
  maxDeadRaw,
  withFileLock,
} from './ledger.ts'
import {
  deadShareAfter,
  type ImportOptions,
  type ResolvedImportOptions,
  resolveImportOptions,
} from './options.ts'
import { ParquetLane } from './parquet-lane.ts'
import { type ImportPlan, usedFields } from './plan.ts'
import { planImport } from './plan-import.ts'
import type { DeadReason } from './reasons.ts'
import type { BadDetail, RecordSink } from './record-sink.ts'
import { RowMaker } from './row-maker.ts'
import { inspectFile, type ReadCounter, readSource, type SourceFile } from './source.ts'
import { decodeLossy, toTextBlocks } from './text-blocks.ts'

export interface ImportProgress {
  readonly file: string
  /** Bytes of the file as it is stored; of a packed file the packed ones. */
  readonly bytesRead: number
  readonly bytesTotal: number
  /** Records read, with those that an earlier run has committed. */
  readonly records: number
  /** Rows and dead letters committed, with those of earlier runs. */
  readonly rows: number
  readonly dead: number
  /** Records of this run over its time. */
  readonly recordsPerSecond: number
  /** Seconds until the end at this speed; null until something was read. */
  readonly secondsLeft: number | null
}

export interface ImportReport {
  readonly importId: bigint
  readonly dataset: string
  readonly file: string
  /** How the file was read: what was guessed and what was asked for. */
  readonly plan: ImportPlan
  /** Whether an earlier run was continued. */
  readonly isResumed: boolean
  /** Records of the file; each is a row or a dead letter. */
  readonly records: number
  readonly rows: number
  readonly dead: number
  /** The most frequent reason first. */
  readonly deadByReason: Readonly<Partial<Record<DeadReason, number>>>
  /** Of this run alone: what became of its rows in the table. */
  readonly inserted: number
  readonly updated: number
  readonly ignored: number
  /** Of this run alone: what was done to the values, by column. */
  readonly notes: Readonly<Record<string, ColumnNotes>>
  readonly bytes: number
  readonly elapsedMs: number
}

export interface ImportRequest {
  readonly db: Database
  readonly writer: BatchWriter
  readonly definition: StoredDefinition
  readonly file: string
  readonly options?: ImportOptions
  /** Called once with the plan before the first row is written. */
  readonly onPlan?: (plan: ImportPlan, file: string) => void
  /** Called at most every 100 ms, and at the end. */
  readonly onProgress?: (progress: ImportProgress) => void
  readonly signal?: AbortSignal | null
}

/**
 * Imports a file into a table: CSV, NDJSON, access log or Parquet, packed or not. What is not said is guessed from the
 * beginning of the file and handed to `onPlan`.
 *
 * Rows are written in batches. How far the import is, and the rows that do not fit (dead letters), are written in the
 * transaction of the batch they belong to, so that an import that is killed goes on when the same call is made again,
 * and no row is written twice. Memory is bounded by the batches in flight: (connections + 1) * batchRows rows.
 *
 * @example
 * const report = await importFile({ db, writer, definition: cpu, file: 'cpu.csv.gz', options: { timeZone: 'UTC' } })
 * console.log(report.rows, report.deadByReason)
 * @throws TidemarkError TM_IMPORT for the file, TM_CONFIG for an option, TM_DUPLICATE_KEY for a key that is there
 *   (onConflict: error), TM_CANCELLED; batches that were committed before stay, and the same call goes on after them.
 */
export async function importFile(request: ImportRequest): Promise<ImportReport> {
  const options = resolveImportOptions(request.options ?? {})
  const source = await inspectFile(request.file)
  const plan = await planImport(source, request.definition, options)
  const dataset = request.definition.name
  return withFileLock(request.db, dataset, source, async () => {
    const claim = await claimImport(request.db, dataset, source, plan, options)
    request.onPlan?.(plan, request.file)
    const run = new ImportRun(request, options, source, plan, claim)
    try {
      return await run.run()
    } catch (error) {
      await run.settle()
      // when not even that can be written, why the import ended is still the thing to say
      const totals = await finishImport(request.db, claim, 'stopped').catch(() => null)
      throw totals === null ? error : withTotals(error, source.path, totals)
    }
  })
}

/**
 * Imports files one after the other. Files that are in already are left out, unless all are, or `again` is said: so a
 * list that was interrupted goes on when it is given again.
 */
export async function importFiles(
  request: Omit<ImportRequest, 'file'> & { readonly files: readonly string[] },
): Promise<{ readonly reports: readonly ImportReport[]; readonly skipped: readonly string[] }> {
  const { files, ...rest } = request
  const { db, definition, options } = request
  const reports: ImportReport[] = []
  const skipped: string[] = []
  for (const [i, file] of files.entries()) {
    const isLast = i === files.length - 1
    // when all are in, the last one is refused as a single file is
    const mayBeLeftOut = options?.again !== true && !(isLast && reports.length === 0)
    if (mayBeLeftOut && (await isImported(db, definition.name, await inspectFile(file)))) skipped.push(file)
    else reports.push(await importFile({ ...rest, file }))
  }
  return { reports, skipped }
}

function withTotals(error: unknown, file: string, totals: { rows: number; dead: number }): unknown {
  if (!(isTidemarkError(error) && error.code === 'TM_IMPORT')) return error
  const { problem, todo } = error.params as { problem: string; todo: string }
  const committed = `${totals.rows} rows and ${totals.dead} dead letters of whole batches are in`
  return new TidemarkError(
    'TM_IMPORT',
    { file, problem, todo: `${todo}; ${committed}, and the same import goes on after them` },
    { cause: error },
  )
}

interface Batch {
  readonly number: number
  /** Committed by an earlier run: its records are only counted. */
  readonly isCommitted: boolean
  records: number
  /** The rows as they will be written; null where they are not, and after they have been. */
  open: OpenBatch | null
  readonly rows: BatchRows
  readonly dead: DeadLetter[]
}

/** Where rows are that were encoded without being made: a block of a text file, or columns of Parquet. */
type RowSource = string | ParquetBatch['columns']

/** What a batch's rows were made of, for problems that only the database finds. */
class BatchRows {
  readonly lines: number[] = []
  /** null: the row was encoded without being made. */
  readonly #rows: (CanonicalValue[] | null)[] = []
  /** Characters of a text; number of the row in columns. */
  readonly #from: number[] = []
  readonly #to: number[] = []
  /** Each with the first row that is in it. */
  readonly #sources: { readonly source: RowSource; readonly first: number }[] = []
  #last: RowSource = ''

  get length(): number {
    return this.lines.length
  }

  push(row: CanonicalValue[], line: number): void {
    this.#add(row, line, 0, 0)
  }

  pushFrom(source: RowSource, line: number, from: number, to: number): void {
    if (source !== this.#last) {
      this.#sources.push({ source, first: this.length })
      this.#last = source
    }
    this.#add(null, line, from, to)
  }

  #add(row: CanonicalValue[] | null, line: number, from: number, to: number): void {
    this.lines.push(line)
    this.#rows.push(row)
    this.#from.push(from)
    this.#to.push(to)
  }

  /** Every row in canonical form; `make` makes those that were not. */
  all(
    make: (source: RowSource, line: number, from: number, to: number) => CanonicalValue[],
  ): CanonicalValue[][] {
    let at = -1
    return this.#rows.map((row, i) => {
      while (this.#sources[at + 1] !== undefined && this.#sources[at + 1]!.first <= i) at++
      return row ?? make(this.#sources[at]!.source, this.lines[i]!, this.#from[i]!, this.#to[i]!)
    })
  }
}

const progressEveryMs = 100

/** Rows of a batch that a constraint may refuse; with more the import stops with the constraint's error. */
const maxRefusedRows = 100

/** Rolls back what was only tried. */
class ProbePassed extends Error {}

function isConstraint(error: unknown): error is TidemarkError {
  return isTidemarkError(error) && error.code === 'TM_CONSTRAINT'
}

class ImportRun implements RecordSink {
  readonly #request: ImportRequest
  readonly #options: ResolvedImportOptions
  readonly #source: SourceFile
  readonly #plan: ImportPlan
  readonly #claim: ImportClaim
  readonly #maker: RowMaker
  readonly #lane: CsvLane | null
  /** Parquet: fields that columns are made of. */
  readonly #used: readonly number[]
  readonly #counter: ReadCounter = { bytes: 0 }
  readonly #startedAt = performance.now()
  readonly #inFlight = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  #failure: { readonly error: unknown } | null = null
  /** Why reading has ended early: the batches before are written, the open one is not. */
  #halt: TidemarkError | null = null
  #ready: Batch[] = []
  #batch: Batch | null = null
  #openBatch!: () => OpenBatch
  #isBytes: () => boolean = () => false
  #records = 0
  #recordsRead = 0
  #dead: number
  #committedRows: number
  #committedDead: number
  #inserted = 0
  #updated = 0
  #ignored = 0
  #progressAt = 0
  readonly #connections: number

  constructor(
    request: ImportRequest,
    options: ResolvedImportOptions,
    source: SourceFile,
    plan: ImportPlan,
    claim: ImportClaim,
  ) {
    this.#request = request
    this.#options = options
    this.#source = source
    this.#plan = plan
    this.#claim = claim
    this.#maker = new RowMaker(source.path, plan, request.definition)
    this.#used = plan.format === 'parquet' ? usedFields(plan) : []
    // of rows with one key the first (ignore) or the last (update) of the file wins: batches have to keep their order
    this.#connections = options.onConflict === 'error' ? options.connections : 1
    this.#lane = options.onConflict === 'error' ? CsvLane.create(plan, request.definition) : null
    this.#dead = claim.dead
    this.#committedRows = claim.rows
    this.#committedDead = claim.dead
  }

  async run(): Promise<ImportReport> {
    const { signal } = this.#request
    const cancel = (): void => this.#stop.abort()
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      this.#checkSignal()
      await this.#lookAtChunks()
      if (this.#plan.format === 'parquet') await this.#readParquet()
      else await this.#readText()
      if (this.#batch && this.#halt === null) this.#close(this.#batch)
      await this.#flow(0)
      if (this.#halt !== null) throw this.#halt
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
    const { db, definition } = this.#request
    const totals = await finishImport(db, this.#claim, 'done')
    this.#counter.bytes = this.#source.sizeBytes
    this.#report(true)
    return {
      importId: this.#claim.id,
      dataset: definition.name,
      file: this.#source.path,
      plan: this.#plan,
      isResumed: this.#claim.isResumed,
      records: this.#records,
      rows: totals.rows,
      dead: totals.dead,
      deadByReason: totals.dead === 0 ? {} : await countDeadLetters(db, { importId: this.#claim.id }),
      inserted: this.#inserted,
      updated: this.#updated,
      ignored: this.#ignored,
      notes: this.#maker.notes(),
      bytes: this.#source.sizeBytes,
      elapsedMs: performance.now() - this.#startedAt,
    }
  }

  /** Waits for what is under way, whatever becomes of it: an import that failed leaves nothing running. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#inFlight)
  }

  // --- reading ---

  async #readText(): Promise<void> {
    const reader = createReader(this.#plan, this)
    this.#isBytes = () => reader.isBytes
    const bytes = readSource(this.#source, this.#counter, this.#stop.signal)
    for await (const block of toTextBlocks(bytes, this.#source.path, this.#options.maxRecordBytes)) {
      reader.push(block)
      if (this.#isEnough) return
      await this.#flow(this.#connections)
    }
    reader.end()
  }

  async #readParquet(): Promise<void> {
    const file = await openParquet(this.#source.path)
    const lane = ParquetLane.create(this.#plan, this.#request.definition, this.#used)
    try {
      const names = this.#used.map((index) => this.#plan.fields[index]!)
      for await (const { rowCount, columns } of file.read(names, this.#stop.signal)) {
        for (let row = 0; row < rowCount; row++) {
          if (lane !== null && this.#takeParquet(lane, columns, row)) continue
          this.record(this.#parquetFields(columns, row), this.#records + 1, '', 0, 0)
        }
        this.#counter.bytes = Math.floor(
          (this.#source.sizeBytes * this.#records) / Math.max(1, file.rowCount),
        )
        if (this.#isEnough) return
        await this.#flow(this.#connections)
      }
    } finally {
      file.close()
    }
  }

  #parquetFields(columns: ParquetBatch['columns'], row: number): unknown[] {
    const fields: unknown[] = new Array(this.#plan.fields.length)
    for (let i = 0; i < this.#used.length; i++) fields[this.#used[i]!] = columns[i]![row]
    return fields
  }

  #takeParquet(lane: ParquetLane, columns: ParquetBatch['columns'], row: number): boolean {
    if (this.#options.onConflict !== 'error') return false
    const batch = this.#open()
    if (batch === null) return true
    if (!batch.isCommitted) {
      if (!lane.read(columns, row)) return false
      batch.open!.addSlots(lane.slots)
      batch.rows.pushFrom(columns, this.#records + 1, row, row)
    }
    this.#count(batch)
    return true
  }

  get #isEnough(): boolean {
    if (this.#halt !== null) return true
    return this.#plan.limit !== null && this.#records >= this.#plan.limit
  }

  // --- records ---

  record(fields: readonly unknown[], line: number, text: string, from: number, to: number): void {
    const batch = this.#open()
    if (batch === null) return
    if (!batch.isCommitted) {
      const row = this.#maker.make(fields, line)
      if (row !== null) {
        batch.open!.add(row)
        batch.rows.push(row, line)
      } else {
        const { reason, message, column, value } = this.#maker.problem
        const raw = text === '' ? showFields(this.#plan.fields, fields) : this.#raw(text, from, to)
        this.#refuse(batch, { line, column, value, reason, message, raw })
      }
    }
    this.#count(batch)
  }

  line(line: number, text: string, from: number, to: number): boolean {
    if (this.#lane === null) return false
    const batch = this.#open()
    if (batch === null) return true
    if (!batch.isCommitted) {
      if (!this.#lane.read(text, from, to)) return false
      batch.open!.addSlots(this.#lane.slots)
      batch.rows.pushFrom(text, line, from, to)
    }
    this.#count(batch)
    return true
  }

  bad(reason: DeadReason, detail: BadDetail, line: number, text: string, from: number, to: number): void {
    const batch = this.#open()
    if (batch === null) return
    if (!batch.isCommitted) {
      const column =
        detail.field === null
          ? null
          : (this.#plan.columns.find(({ source }) => source.kind === 'field' && source.index === detail.field)
              ?.column ?? null)
      const { message, value } = detail
      this.#refuse(batch, { line, column, value, reason, message, raw: this.#raw(text, from, to) })
    }
    this.#count(batch)
  }

  /** Batches are numbered by records, so that a later run cuts the file at the same places. */
  #open(): Batch | null {
    if (this.#isEnough) return null
    if (this.#batch === null) {
      const number = Math.floor(this.#records / this.#claim.batchRows)
      const isCommitted = this.#claim.committed.has(number)
      this.#batch = {
        number,
        isCommitted,
        records: 0,
        open: isCommitted ? null : this.#openBatch(),
        rows: new BatchRows(),
        dead: [],
      }
    }
    return this.#batch
  }

  #count(batch: Batch): void {
    this.#records++
    if (!batch.isCommitted) this.#recordsRead++
    if (++batch.records >= this.#claim.batchRows) this.#close(batch)
  }

  #close(batch: Batch): void {
    // the open batch of an import that has ended is not written
    if (this.#halt !== null) return
    this.#batch = null
    if (!batch.isCommitted) this.#ready.push(batch)
  }

  #raw(text: string, from: number, to: number): string {
    // a cut piece must not keep the whole block alive
    const raw = text.slice(from, Math.min(to, from + maxDeadRaw + 1))
    return this.#isBytes() ? decodeLossy(raw) : Buffer.from(raw).toString()
  }

  #refuse(batch: Batch, letter: DeadLetter): void {
    if (this.#options.strict) {
      this.#halt = strictProblem(this.#source.path, letter)
      return
    }
    batch.dead.push(letter)
    this.#dead++
    const { maxDead, maxDeadShare } = this.#options
    if (this.#dead > maxDead) this.#halt = this.#tooManyDead(letter, `more than maxDead (${maxDead})`)
    const records = this.#records + 1
    if (records >= deadShareAfter && this.#dead > records * maxDeadShare)
      this.#halt = this.#tooManyDead(
        letter,
        `more than maxDeadShare (${maxDeadShare}) of the first ${records} records`,
      )
  }

  #tooManyDead(letter: DeadLetter, limit: string): TidemarkError {
    return new TidemarkError('TM_IMPORT', {
      file: this.#source.path,
      problem: `${this.#dead} records do not fit, ${limit}; the last one: ${describe(letter)}`,
      todo: 'correct the options (a dry run shows what was guessed), or raise the limit',
    })
  }

  // --- writing ---

  /** Starts the batches that are ready and waits until at most `room` are under way. */
  async #flow(room: number): Promise<void> {
    for (;;) {
      this.#checkSignal()
      while (this.#ready.length > 0 && this.#inFlight.size < this.#connections)
        this.#start(this.#ready.shift()!)
      this.#report(false)
      if (this.#ready.length === 0 && (room > 0 || this.#inFlight.size === 0)) break
      await Promise.race(this.#inFlight)
    }
    await this.#lookAtChunks()
    this.#checkSignal()
  }

  /** Batches are routed by the chunks that are known when they are begun. */
  async #lookAtChunks(): Promise<void> {
    const { writer, definition } = this.#request
    this.#openBatch = await writer.batches(definition, this.#options.onConflict)
  }

  #start(batch: Batch): void {
    const work = this.#write(batch)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#inFlight.delete(work)
      })
    this.#inFlight.add(work)
  }

  async #write(batch: Batch): Promise<void> {
    const open = batch.open!
    batch.open = null
    try {
      await this.#commit(batch, batch.rows.length, batch.dead, (inTransaction) =>
        open.commit({ inTransaction, signal: this.#stop.signal }),
      )
    } catch (error) {
      if (!isConstraint(error) || this.#options.strict) throw error
      const { rows, dead } = await this.#withoutRefused(batch, error)
      await this.#commit(batch, rows.length, dead, (inTransaction) => this.#insert(rows, inTransaction))
    } finally {
      open.release()
    }
  }

  async #commit(
    batch: Batch,
    rows: number,
    dead: readonly DeadLetter[],
    write: (inTransaction: BatchInsert['inTransaction']) => Promise<WrittenCounts>,
  ): Promise<void> {
    const { definition } = this.#request
    const written = await write((connection) =>
      commitBatch(connection, definition.name, this.#source.path, this.#claim, batch.number, rows, dead),
    )
    this.#inserted += written.inserted
    this.#updated += written.updated
    this.#ignored += written.ignored
    this.#committedRows += rows
    this.#committedDead += dead.length
  }

  #insert(
    rows: readonly CanonicalValue[][],
    inTransaction: BatchInsert['inTransaction'],
  ): Promise<WrittenCounts> {
    const { writer, definition } = this.#request
    const { onConflict } = this.#options
    return writer.insertBatch({ definition, rows, onConflict, inTransaction, signal: this.#stop.signal })
  }

  /**
   * The batch with the rows that a constraint of the table refuses as dead letters. They are found by halving, in
   * transactions that are rolled back: some 2 * log2(batchRows) for each, so only for a few in a batch.
   */
  async #withoutRefused(
    batch: Batch,
    error: TidemarkError,
  ): Promise<{ readonly rows: CanonicalValue[][]; readonly dead: readonly DeadLetter[] }> {
    const rows = batch.rows.all((...place) => this.#makeAgain(...place))
    const { lines } = batch.rows
    const refusals = new Map<number, string>()
    const search = async (from: number, to: number): Promise<void> => {
      const problem = await this.#probe(rows.slice(from, to))
      if (problem === null) return
      if (to - from === 1) {
        refusals.set(from, problem.message)
        if (refusals.size > maxRefusedRows) throw error
        return
      }
      const middle = (from + to) >> 1
      await search(from, middle)
      await search(middle, to)
    }
    await search(0, rows.length)
    const letters = [...refusals].map(([index, message]): DeadLetter => {
      const raw = JSON.stringify(rows[index], (_key, value) =>
        typeof value === 'bigint' ? String(value) : value,
      )
      return { line: lines[index]!, column: null, value: null, reason: 'constraint', message, raw }
    })
    this.#dead += letters.length
    if (this.#dead > this.#options.maxDead)
      throw this.#tooManyDead(letters[0]!, `more than maxDead (${this.#options.maxDead})`)
    return { rows: rows.filter((_, index) => !refusals.has(index)), dead: [...batch.dead, ...letters] }
  }

  /** A row that went the short way, the long way. */
  #makeAgain(source: RowSource, line: number, from: number, to: number): CanonicalValue[] {
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
    if (row === null) throw new Error(`row ${line} of ${this.#source.path} was read in two ways`)
    return row
  }

  /** What a constraint says to the rows; they are not written. */
  async #probe(rows: readonly CanonicalValue[][]): Promise<TidemarkError | null> {
    try {
      await this.#insert(rows, () => Promise.reject(new ProbePassed()))
    } catch (error) {
      if (isConstraint(error)) return error
      if (!(error instanceof ProbePassed)) throw error
    }
    return null
  }

  #checkSignal(): void {
    if (this.#failure) throw this.#failure.error
    if (this.#request.signal?.aborted)
      throw new TidemarkError('TM_CANCELLED', { what: `import of ${this.#source.path}` })
  }

  #report(isLast: boolean): void {
    const { onProgress } = this.#request
    if (!onProgress) return
    const now = performance.now()
    if (!isLast && now - this.#progressAt < progressEveryMs) return
    this.#progressAt = now
    const seconds = (now - this.#startedAt) / 1000
    const bytesRead = Math.min(this.#counter.bytes, this.#source.sizeBytes)
    onProgress({
      file: this.#source.path,
      bytesRead,
      bytesTotal: this.#source.sizeBytes,
      records: this.#records,
      rows: this.#committedRows,
      dead: this.#committedDead,
      recordsPerSecond: seconds > 0 ? this.#recordsRead / seconds : 0,
      secondsLeft: isLast
        ? 0
        : bytesRead > 0
          ? (seconds * (this.#source.sizeBytes - bytesRead)) / bytesRead
          : null,
    })
  }
}

function strictProblem(file: string, letter: DeadLetter): TidemarkError {
  return new TidemarkError('TM_IMPORT', {
    file,
    problem: describe(letter),
    todo: 'correct the row, or leave strict out: then it becomes a dead letter',
  })
}

function describe(letter: DeadLetter): string {
  const column = letter.column === null ? '' : `, column "${letter.column}"`
  const value = letter.value === null ? '' : `, value ${JSON.stringify(letter.value.slice(0, 100))}`
  return `line ${letter.line}${column}${value}: ${letter.message} (${letter.reason})`
}

function showFields(names: readonly string[], fields: readonly unknown[]): string {
  const entries = names.flatMap((name, i) => (fields[i] === undefined ? [] : [[name, fields[i]] as const]))
  return JSON.stringify(Object.fromEntries(entries), (_key, value) =>
    typeof value === 'bigint' ? String(value) : value,
  )
}
