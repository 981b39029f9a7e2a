import type { OpenBatch } from '../hot/index.ts'
import type { ParquetBatch } from '../lake/index.ts'
import type { TidemarkError } from '../util/errors.ts'
import type { CsvLane } from './csv-lane.ts'
import type { DeadLimit } from './dead-limit.ts'
import { type Batch, BatchRows } from './import-batch.ts'
import { type DeadLetter, type ImportClaim, maxDeadRaw } from './ledger.ts'
import type { ParquetLane } from './parquet-lane.ts'
import type { ImportPlan } from './plan.ts'
import type { DeadReason } from './reasons.ts'
import type { BadDetail, RecordSink } from './record-sink.ts'
import type { RowMaker } from './row-maker.ts'
import { decodeLossy } from './text-blocks.ts'

export interface RecordBatchesOptions {
  readonly plan: ImportPlan
  readonly claim: ImportClaim
  /** Records that a batch should have. */
  readonly batchRows: number
  readonly maker: RowMaker
  /** The short way of CSV lines, where there is one. */
  readonly lane: CsvLane | null
  readonly deadLimit: DeadLimit
  /** `first`: the number of its first record. */
  readonly openBatch: (first: number) => OpenBatch
  /** Whether what rows were made of is kept until they are written. */
  readonly keepsRows: boolean
  /** A batch is whole and has to be written. */
  readonly onBatch: (batch: Batch) => void
}

/**
 * Makes rows and dead letters of records and cuts them into batches. A batch is known by its first record, and has as
 * many records as it has rows and dead letters: so a later run finds those that an earlier one has committed, and only
 * counts their records, wherever it would have cut itself.
 */
export class RecordBatches implements RecordSink {
  readonly #options: RecordBatchesOptions
  /** First records of committed batches that are still to come, ascending. */
  readonly #starts: number[]
  #batch: Batch | null = null
  #records = 0
  #recordsThisRun = 0
  #halt: TidemarkError | null = null
  /** Whether the text that is read now is bytes (see TextBlock). */
  isBytes: () => boolean = () => false

  constructor(options: RecordBatchesOptions) {
    this.#options = options
    this.#starts = [...options.claim.committed.keys()].sort((a, b) => a - b)
  }

  get records(): number {
    return this.#records
  }

  /** Without those that an earlier run has committed. */
  get recordsThisRun(): number {
    return this.#recordsThisRun
  }

  /** Why reading has ended early: the batches before are written, the open one is not. */
  get halt(): TidemarkError | null {
    return this.#halt
  }

  get isEnough(): boolean {
    if (this.#halt !== null) return true
    const { limit } = this.#options.plan
    return limit !== null && this.#records >= limit
  }

  record(fields: readonly unknown[], line: number, text: string, from: number, to: number): void {
    const batch = this.#open()
    if (batch === null) return
    if (!batch.isCommitted) {
      const { maker, plan } = this.#options
      const row = maker.make(fields, line)
      if (row !== null) {
        if (!batch.open!.add(row)) {
          this.#close(batch)
          this.record(fields, line, text, from, to)
          return
        }
        batch.rows.push(row, line)
      } else {
        const { reason, message, column, value } = maker.problem
        const raw = text === '' ? showFields(plan.fields, fields) : this.#raw(text, from, to)
        this.#refuse(batch, { line, column, value, reason, message, raw })
      }
    }
    this.#count(batch)
  }

  line(line: number, text: string, from: number, to: number): boolean {
    const { lane } = this.#options
    if (lane === null) return false
    const batch = this.#open()
    if (batch === null) return true
    if (!batch.isCommitted) {
      if (!lane.read(text, from, to)) return false
      if (!batch.open!.addSlots(lane.slots)) {
        this.#close(batch)
        return this.line(line, text, from, to)
      }
      batch.rows.pushFrom(text, line, from, to)
    }
    this.#count(batch)
    return true
  }

  /** The shortest way: a whole batch of Parquet at once; false when its rows have to come one by one. */
  parquetRows(lane: ParquetLane, source: ParquetBatch): boolean {
    const batch = this.#open()
    const { limit } = this.#options.plan
    const end = this.#records + source.rowCount
    if (batch === null || batch.isCommitted || end > batch.end || (limit !== null && end > limit))
      return false
    if (this.#options.keepsRows || batch.open?.addColumns === undefined) return false
    const columns = lane.readAll(source)
    if (columns === null || !batch.open.addColumns(source.rowCount, columns)) return false
    batch.rows.skip(source.rowCount)
    this.#records += source.rowCount
    batch.records += source.rowCount
    this.#recordsThisRun += source.rowCount
    if (this.#records >= batch.end || this.#isFull(batch)) this.#close(batch)
    return true
  }

  /** The short way of a row of Parquet; false when it has to go the long way. */
  parquetRow(lane: ParquetLane, columns: ParquetBatch['columns'], row: number): boolean {
    const batch = this.#open()
    if (batch === null) return true
    if (!batch.isCommitted) {
      if (!lane.read(columns, row)) return false
      if (!batch.open!.addSlots(lane.slots)) {
        this.#close(batch)
        return this.parquetRow(lane, columns, row)
      }
      batch.rows.pushFrom(columns, this.#records + 1, row, row)
    }
    this.#count(batch)
    return true
  }

  bad(reason: DeadReason, detail: BadDetail, line: number, text: string, from: number, to: number): void {
    const batch = this.#open()
    if (batch === null) return
    if (!batch.isCommitted) {
      const { columns } = this.#options.plan
      const column =
        detail.field === null
          ? null
          : (columns.find(({ source }) => source.kind === 'field' && source.index === detail.field)?.column ??
            null)
      const { message, value } = detail
      this.#refuse(batch, { line, column, value, reason, message, raw: this.#raw(text, from, to) })
    }
    this.#count(batch)
  }

  /** To be awaited before more records come; null: there is room. */
  relieve(): Promise<void> | null {
    return this.#batch?.open?.relieve?.() ?? null
  }

  /** The file is at its end: the last batch is not full. */
  end(): void {
    if (this.#batch) this.#close(this.#batch)
  }

  #open(): Batch | null {
    if (this.isEnough) return null
    if (this.#batch === null) {
      const first = this.#records
      const committed = this.#options.claim.committed.get(first)
      const isCommitted = committed !== undefined
      const end = isCommitted ? first + committed : this.#nextCommitted()
      const open = isCommitted ? null : this.#options.openBatch(first)
      this.#batch = {
        first,
        end,
        isCommitted,
        records: 0,
        open,
        rows: new BatchRows(this.#options.keepsRows),
        dead: [],
      }
    }
    return this.#batch
  }

  /** Number of the next record that an earlier run has committed. */
  #nextCommitted(): number {
    while (this.#starts[0] !== undefined && this.#starts[0] <= this.#records) this.#starts.shift()
    return this.#starts[0] ?? Number.POSITIVE_INFINITY
  }

  #count(batch: Batch): void {
    this.#records++
    batch.records++
    if (!batch.isCommitted) this.#recordsThisRun++
    if (this.#records >= batch.end || this.#isFull(batch)) this.#close(batch)
  }

  #isFull(batch: Batch): boolean {
    const { batchRows } = this.#options
    if (batch.isCommitted || batch.records < batchRows) return false
    return batch.dead.length >= batchRows || !batch.open!.mayGrow
  }

  #close(batch: Batch): void {
    // the open batch of an import that has ended is not written
    if (this.#halt !== null) return
    this.#batch = null
    if (!batch.isCommitted) this.#options.onBatch(batch)
  }

  #raw(text: string, from: number, to: number): string {
    // a cut piece must not keep the whole block alive
    const raw = text.slice(from, Math.min(to, from + maxDeadRaw + 1))
    return this.isBytes() ? decodeLossy(raw) : Buffer.from(raw).toString()
  }

  #refuse(batch: Batch, letter: DeadLetter): void {
    batch.dead.push(letter)
    this.#halt = this.#options.deadLimit.add([letter], this.#records + 1)
  }
}

function showFields(names: readonly string[], fields: readonly unknown[]): string {
  const entries = names.flatMap((name, i) => (fields[i] === undefined ? [] : [[name, fields[i]] as const]))
  return showJson(Object.fromEntries(entries))
}

/** JSON for a person: a bigint as its digits. */
export function showJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner) => (typeof inner === 'bigint' ? String(inner) : inner))
}
