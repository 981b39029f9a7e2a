import type { CanonicalValue } from '../schema/index.ts'
import { failureOf, NamedKeys, readKeyedItem } from './bulk-input.ts'
import { assertVersioned } from './bulk-plain.ts'
import type { BulkAnswer, BulkFailure, BulkInput, Call, RecordsOptions, StoredRecord } from './contract.ts'
import { HypertableRecords } from './hypertable-records.ts'
import { keyOfRow } from './key.ts'
import type { RecordTable } from './record-table.ts'
import { explainRefusal, isOfOneRow } from './refusals.ts'

/** Rows that are refused are looked for by halves, so many of them; with more the call is refused with what was said last. */
const maxSearched = 100
/** Calls at once, where each row is one. */
const concurrency = 4

interface RowItem {
  readonly index: number
  readonly values: CanonicalValue[]
}

/** Many rows of a hypertable: new ones together, changes one by one, because any of them may be in the lake. */
export async function bulkHypertable(
  table: RecordTable,
  input: BulkInput,
  options: RecordsOptions,
  call: Call,
): Promise<BulkAnswer> {
  const bulk = new HypertableBulk(table, input, options, call)
  return input.op === 'create' || input.op === 'upsert' ? bulk.insert(input.op) : bulk.change(input.op)
}

class HypertableBulk {
  readonly #table: RecordTable
  readonly #input: BulkInput
  readonly #options: RecordsOptions
  readonly #call: Call
  readonly #records: HypertableRecords
  readonly #failed: BulkFailure[] = []
  #searched = 0

  constructor(table: RecordTable, input: BulkInput, options: RecordsOptions, call: Call) {
    this.#table = table
    this.#input = input
    this.#options = options
    this.#call = call
    this.#records = new HypertableRecords(table, options, call)
  }

  async insert(op: 'create' | 'upsert'): Promise<BulkAnswer> {
    const table = this.#table
    const { rows, atomic = false } = this.#input
    const items: RowItem[] = []
    const keys = new NamedKeys(table)
    const everyColumn = table.columns.map((_, i) => i)
    const encoded = await this.#records.encodeEach(rows, op === 'upsert' ? everyColumn : table.keyIndexes)
    encoded.forEach((values, index) => {
      this.#trying(index, atomic, () => {
        if (values instanceof Error) throw values
        keys.add(keyOfRow(table, values), index)
        items.push({ index, values })
      })
    })
    const counts = { created: 0, updated: 0 }
    await this.#splitting(items, atomic, async (part) => {
      const given = part.map(({ values }) => this.#records.rowOf(values))
      const { writer } = this.#options
      const { definition } = table
      if (op === 'create') {
        const { inserted, merged = 0 } = await writer.insert(definition, given, this.#call)
        counts.created += inserted + merged
      } else {
        const { inserted, updated } = await writer.upsert(definition, given, this.#call)
        counts.created += inserted
        counts.updated += updated
      }
    })
    const failed = new Set(this.#failed.map(({ index }) => index))
    const done = items.filter(({ index }) => !failed.has(index))
    return this.#answer(counts, await this.#back(done))
  }

  async change(op: 'patch' | 'delete'): Promise<BulkAnswer> {
    const { rows, return: wanted } = this.#input
    const records: (StoredRecord | null)[] = rows.map(() => null)
    const keys = new NamedKeys(this.#table)
    const counts = { updated: 0, deleted: 0 }
    await inTurns(rows, async (row, index) => {
      try {
        const item = readKeyedItem(this.#table, op, row, index, this.#call.scope)
        assertVersioned(this.#table, item, this.#options)
        keys.add(item.key, index)
        if (op === 'patch') {
          records[index] = await this.#records.patch(item.key, item.set, item.precondition)
          counts.updated += 1
        } else {
          await this.#records.delete(item.key, item.precondition)
          counts.deleted += 1
        }
      } catch (error) {
        if (!isOfOneRow(error)) throw error
        this.#failed.push(failureOf(error, index))
      }
    })
    return this.#answer(counts, wanted === 'rows' && op === 'patch' ? records : null)
  }

  #answer(
    counts: { readonly created?: number; readonly updated?: number; readonly deleted?: number },
    records: readonly (StoredRecord | null)[] | null,
  ): BulkAnswer {
    this.#failed.sort((a, b) => a.index - b.index)
    const { created = 0, updated = 0, deleted = 0 } = counts
    return { created, updated, deleted, failed: this.#failed, records }
  }

  async #back(done: readonly RowItem[]): Promise<readonly (StoredRecord | null)[] | null> {
    if (this.#input.return !== 'rows') return null
    const records: (StoredRecord | null)[] = this.#input.rows.map(() => null)
    await inTurns(done, async ({ index, values }) => {
      records[index] = await this.#records.find(keyOfRow(this.#table, values))
    })
    return records
  }

  #trying(index: number, atomic: boolean, work: () => void): void {
    try {
      work()
    } catch (error) {
      if (atomic || !isOfOneRow(error)) throw error
      this.#failed.push(failureOf(error, index))
    }
  }

  /** Each part is written whole or not at all. */
  async #splitting(
    items: readonly RowItem[],
    atomic: boolean,
    write: (items: readonly RowItem[]) => Promise<void>,
  ): Promise<void> {
    if (items.length === 0) return
    try {
      await write(items)
    } catch (caught) {
      const error = explainRefusal(caught, this.#table.definition)
      if (atomic || !isOfOneRow(error)) throw error
      if (items.length === 1) {
        this.#searched += 1
        this.#failed.push(failureOf(error, items[0]!.index))
        return
      }
      if (this.#searched >= maxSearched) throw error
      const half = items.length >> 1
      await this.#splitting(items.slice(0, half), atomic, write)
      await this.#splitting(items.slice(half), atomic, write)
    }
  }
}

/** A few at once. What one of them throws ends all, after those that run. */
async function inTurns<T>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  let problem: { readonly error: unknown } | null = null
  const run = async (): Promise<void> => {
    while (next < items.length && problem === null) {
      const index = next++
      try {
        await work(items[index]!, index)
      } catch (error) {
        problem ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: concurrency }, run))
  if (problem !== null) throw (problem as { readonly error: unknown }).error
}
