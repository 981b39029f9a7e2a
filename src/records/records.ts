import { canonicalJson } from '../query/index.ts'
import type { StoredDefinition, TenantScope } from '../schema/index.ts'
import { fixedClock } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { bulkHypertable } from './bulk-hypertable.ts'
import { checkBulk } from './bulk-input.ts'
import { assertVersioned, bulkPlain } from './bulk-plain.ts'
import {
  anyState,
  type BulkAnswer,
  type BulkInput,
  type Call,
  type Created,
  type KeyInput,
  type ListAnswer,
  type ListInput,
  type Precondition,
  type Put,
  type RecordCall,
  type RecordSet,
  type RecordsOptions,
  type StoredRecord,
} from './contract.ts'
import { HypertableRecords } from './hypertable-records.ts'
import { keyTextOf, readKey, readKeyText } from './key.ts'
import { listHypertable } from './list-hypertable.ts'
import { readListInput } from './list-input.ts'
import { listPlain } from './list-plain.ts'
import { PlainRecords } from './plain-records.ts'
import { type RecordTable, recordTable } from './record-table.ts'

/**
 * The rows of a table by their key, as a caller may use them.
 *
 * @example
 * const keywords = createRecordSet(definition, allTenants, options)
 * const { record } = await keywords.create({ phrase: 'shoes' })
 *
 * @throws TidemarkError TM_QUERY for a table without a primary key.
 */
export function createRecordSet(
  definition: StoredDefinition,
  scope: TenantScope,
  options: RecordsOptions,
): RecordSet {
  return new TableRecords(recordTable(definition), scope, options)
}

class TableRecords implements RecordSet {
  readonly definition: StoredDefinition
  readonly #table: RecordTable
  readonly #scope: TenantScope
  readonly #options: RecordsOptions

  constructor(table: RecordTable, scope: TenantScope, options: RecordsOptions) {
    this.definition = table.definition
    this.#table = table
    this.#scope = scope
    this.#options = options
  }

  readKey(text: string): KeyInput {
    return readKeyText(this.#table, text, this.#scope)
  }

  keyText(row: Readonly<Record<string, unknown>>): string {
    const key = Object.fromEntries(this.#table.key.map((name) => [name, row[name]]))
    return keyTextOf(this.#table, readKey(this.#table, key, this.#scope))
  }

  list(input: ListInput = {}, call: RecordCall = {}): Promise<ListAnswer> {
    return this.#explained(async () => {
      const request = readListInput(this.#table, input, this.#options)
      const list = this.definition.kind === 'table' ? listPlain : listHypertable
      return list(this.#table, request, this.#options, this.#callOf(call))
    })
  }

  moves(input: ListInput): boolean {
    const { clock, limits } = this.#options
    const now = clock.now()
    const [at, later] = [now, now + 1_000_000n].map((instant) => {
      const read = readListInput(this.#table, input, { clock: fixedClock(instant), limits })
      return canonicalJson([read.where, read.range])
    })
    return at !== later
  }

  get(key: KeyInput, call: RecordCall = {}): Promise<StoredRecord> {
    return this.#explained(async () => this.#rows(call).get(readKey(this.#table, key, this.#scope)))
  }

  create(row: unknown, call: RecordCall = {}): Promise<Created> {
    return this.#explained(() => this.#rows(call).create(row))
  }

  patch(
    key: KeyInput,
    set: unknown,
    precondition: Precondition = anyState,
    call: RecordCall = {},
  ): Promise<StoredRecord> {
    return this.#explained(async () => {
      const values = this.#changed(key, precondition)
      return this.#rows(call).patch(values, set, precondition)
    })
  }

  put(
    key: KeyInput,
    row: unknown,
    precondition: Precondition = anyState,
    call: RecordCall = {},
  ): Promise<Put> {
    return this.#explained(async () => {
      const values = this.#changed(key, precondition)
      return this.#rows(call).put(values, row, precondition)
    })
  }

  delete(key: KeyInput, precondition: Precondition = anyState, call: RecordCall = {}): Promise<void> {
    return this.#explained(async () => {
      const values = this.#changed(key, precondition)
      return this.#rows(call).delete(values, precondition)
    })
  }

  bulk(input: BulkInput, call: RecordCall = {}): Promise<BulkAnswer> {
    return this.#explained(async () => {
      checkBulk(this.#table, input)
      if (input.op !== 'create') this.#refuseAppendOnly()
      // a version of a whole row cannot be said there
      if (input.op === 'upsert') assertVersioned(this.#table, { precondition: anyState }, this.#options)
      const bulk = this.definition.kind === 'table' ? bulkPlain : bulkHypertable
      return bulk(this.#table, input, this.#options, this.#callOf(call))
    })
  }

  /** The key of a row that may be changed so. */
  #changed(key: KeyInput, precondition: Precondition) {
    this.#refuseAppendOnly()
    assertVersioned(this.#table, { precondition }, this.#options)
    return readKey(this.#table, key, this.#scope)
  }

  #refuseAppendOnly(): void {
    const { appendOnly, name } = this.definition
    if (appendOnly) throw new TidemarkError('TM_APPEND_ONLY', { table: name })
  }

  #rows(call: RecordCall): PlainRecords | HypertableRecords {
    const Rows = this.definition.kind === 'table' ? PlainRecords : HypertableRecords
    return new Rows(this.#table, this.#options, this.#callOf(call))
  }

  #callOf({ signal = null }: RecordCall): Call {
    return { scope: this.#scope, signal }
  }

  #explained<T>(work: () => Promise<T>): Promise<T> {
    return this.#options.explain(this.definition, work())
  }
}
