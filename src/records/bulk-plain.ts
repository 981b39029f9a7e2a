import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Queryable, retry } from '../postgres/index.ts'
import { type CanonicalValue, tenantGuard } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { Sql } from '../util/sql.ts'
import { ownRow, readAssignments } from './assignments.ts'
import { failureOf, type KeyedItem, NamedKeys, readKeyedItem } from './bulk-input.ts'
import { deleteMany, getMany, insertMany, patchMany } from './bulk-statements.ts'
import type { BulkAnswer, BulkFailure, BulkInput, Call, RecordsOptions, StoredRecord } from './contract.ts'
import { fillDefaults } from './defaults.ts'
import { keyIdentity, keyOfRow, keyTextOf } from './key.ts'
import { recordOf, versionError } from './plain-records.ts'
import { encodeRow, type RecordTable } from './record-table.ts'
import { explainRefusal, isOfOneRow } from './refusals.ts'

/** Rows that PostgreSQL refuses are looked for by halves, so many of them; with more the call is refused with what it said last. */
const maxSearched = 100

/** Rows after which others have their turn: ten thousand do not stop the process. */
const sliceRows = 1024

/** Row and place of a create or upsert. */
interface RowItem {
  readonly index: number
  readonly values: CanonicalValue[]
}

interface PatchItem extends KeyedItem {
  readonly indexes: readonly number[]
  readonly values: readonly CanonicalValue[]
}

/** Many rows of a plain table: a statement for those that can be said together. */
export async function bulkPlain(
  table: RecordTable,
  input: BulkInput,
  options: RecordsOptions,
  call: Call,
): Promise<BulkAnswer> {
  if (input.atomic !== true) return new PlainBulk(table, input, options, call, null).run()
  return retry({ what: `writing ${table.definition.name}`, signal: call.signal }, () =>
    options.db.transaction({ mode: 'read committed', signal: call.signal }, (connection) =>
      new PlainBulk(table, input, options, call, connection).run(),
    ),
  ).then((answer) => {
    options.onCommitted()
    return answer
  })
}

class PlainBulk {
  readonly #table: RecordTable
  readonly #input: BulkInput
  readonly #options: RecordsOptions
  readonly #call: Call
  /** Of the transaction that all of it is; null: each statement commits by itself. */
  readonly #transaction: Queryable | null
  readonly #failed: BulkFailure[] = []
  readonly #records: (StoredRecord | null)[] | null
  #created = 0
  #updated = 0
  #deleted = 0
  #searched = 0

  constructor(
    table: RecordTable,
    input: BulkInput,
    options: RecordsOptions,
    call: Call,
    transaction: Queryable | null,
  ) {
    this.#table = table
    this.#input = input
    this.#options = options
    this.#call = call
    this.#transaction = transaction
    this.#records = input.return === 'rows' && input.op !== 'delete' ? input.rows.map(() => null) : null
  }

  async run(): Promise<BulkAnswer> {
    const { op } = this.#input
    if (op === 'create' || op === 'upsert') await this.#insert(op === 'upsert')
    else if (op === 'patch') await this.#patch()
    else await this.#delete()
    this.#failed.sort((a, b) => a.index - b.index)
    return {
      created: this.#created,
      updated: this.#updated,
      deleted: this.#deleted,
      failed: this.#failed,
      records: this.#records,
    }
  }

  async #insert(overwrite: boolean): Promise<void> {
    const table = this.#table
    const guard = tenantGuard(table.definition, this.#call.scope)
    const items: RowItem[] = []
    await this.#each((row, index) => {
      items.push({ index, values: encodeRow(table, ownRow(table, row, null, guard), index) })
    })
    const rows = items.map(({ values }) => values)
    await fillDefaults(table, rows, table.keyIndexes, this.#options, this.#call)
    const keys = new NamedKeys(table)
    const distinct = items.filter(({ index, values }) =>
      this.#trying(index, () => keys.add(keyOfRow(table, values), index)),
    )
    for (const group of groupBy(distinct, ({ values }) => absence(values)))
      await this.#splitting(group, async (part) => {
        const answered = await this.#write(
          insertMany(
            table,
            part.map(({ values }) => values),
            { overwrite, withRows: this.#records !== null },
          ),
        )
        const done = this.#take(keys, answered, (row) => {
          if (row.at(-1) === true) this.#created += 1
          else this.#updated += 1
        })
        for (const { index, values } of part) {
          if (done.has(index)) continue
          const key = keyTextOf(table, keyOfRow(table, values))
          this.#fail(
            index,
            new TidemarkError('TM_DUPLICATE_KEY', {
              table: table.definition.name,
              detail: `the key ${key}, or another unique value of the row, exists already`,
            }),
          )
        }
      })
  }

  async #patch(): Promise<void> {
    const table = this.#table
    tenantGuard(table.definition, this.#call.scope)
    const keys = new NamedKeys(table)
    const items: PatchItem[] = []
    await this.#each((row, index) => {
      const item = this.#keyed('patch', row, index, keys)
      const assignments = readAssignments(table, item.set, item.key)
      const values: CanonicalValue[] = []
      for (const { index: place, value } of assignments) values[place] = value
      items.push({ ...item, indexes: assignments.map((a) => a.index).sort((a, b) => a - b), values })
    })
    for (const group of groupBy(items, ({ indexes }) => indexes.join(',')))
      await this.#splitting(group, async (part) => {
        const { indexes } = part[0]!
        const done = this.#take(
          keys,
          indexes.length === 0
            ? await this.#unchanged(part)
            : await this.#write(
                patchMany(
                  table,
                  part,
                  indexes,
                  part.map(({ values }) => values),
                  this.#call.scope,
                  this.#records !== null,
                ),
              ),
          () => {
            this.#updated += 1
          },
        )
        await this.#explain(part, done)
      })
  }

  async #delete(): Promise<void> {
    const table = this.#table
    tenantGuard(table.definition, this.#call.scope)
    const keys = new NamedKeys(table)
    const items: KeyedItem[] = []
    await this.#each((row, index) => {
      items.push(this.#keyed('delete', row, index, keys))
    })
    if (items.length === 0) return
    await this.#splitting(items, async (part) => {
      const answered = await this.#write(deleteMany(table, part, this.#call.scope))
      const done = new Set(answered.map((row) => keys.indexOf(row as CanonicalValue[])!))
      this.#deleted += done.size
      await this.#explain(part, done)
    })
  }

  #keyed(op: 'patch' | 'delete', row: unknown, index: number, keys: NamedKeys): KeyedItem {
    const item = readKeyedItem(this.#table, op, row, index, this.#call.scope)
    assertVersioned(this.#table, item, this.#options)
    keys.add(item.key, index)
    return item
  }

  /** Rows that are to be changed in nothing, and are the version that they are to be. */
  async #unchanged(part: readonly PatchItem[]): Promise<readonly (readonly unknown[])[]> {
    const rows = await this.#ask(getMany(this.#table, part, this.#call.scope))
    const byKey = new Map(rows.map((row) => [this.#identity(row), row]))
    return part.flatMap(({ key, precondition }) => {
      const row = byKey.get(keyIdentity(this.#table, key))
      if (row === undefined) return []
      const { version } = recordOf(this.#table, row.slice(this.#table.key.length))
      const isMeant = precondition.kind !== 'versions' || precondition.versions.includes(version)
      return isMeant ? [row] : []
    })
  }

  /** Takes rows that came back; gives the places of those that were done. */
  #take(
    keys: NamedKeys,
    rows: readonly (readonly unknown[])[],
    count: (row: readonly unknown[]) => void,
  ): ReadonlySet<number> {
    const width = this.#table.key.length
    const done = new Set<number>()
    for (const row of rows) {
      const index = keys.indexOf(row.slice(0, width) as CanonicalValue[])!
      done.add(index)
      count(row)
      if (this.#records) this.#records[index] = recordOf(this.#table, row.slice(width))
    }
    return done
  }

  #identity(row: readonly unknown[]): string {
    return keyIdentity(this.#table, row.slice(0, this.#table.key.length) as CanonicalValue[])
  }

  /** What was not changed is not there, or is another version. */
  async #explain(part: readonly KeyedItem[], done: ReadonlySet<number>): Promise<void> {
    const missing = part.filter(({ index }) => !done.has(index))
    if (missing.length === 0) return
    const table = this.#table
    const rows = await this.#ask(getMany(table, missing, this.#call.scope))
    const versions = new Map(
      rows.map((row) => [this.#identity(row), recordOf(table, row.slice(table.key.length)).version]),
    )
    for (const { index, key } of missing) {
      const version = versions.get(keyIdentity(table, key))
      this.#fail(
        index,
        version === undefined
          ? new TidemarkError('TM_NOT_FOUND', { table: table.definition.name, key: keyTextOf(table, key) })
          : versionError(table, key, version),
      )
    }
  }

  /** Where PostgreSQL refuses some of them, the others are written. */
  async #splitting<T extends { readonly index: number }>(
    items: readonly T[],
    write: (items: readonly T[]) => Promise<void>,
  ): Promise<void> {
    try {
      await write(items)
    } catch (error) {
      if (this.#transaction !== null || !isOfOneRow(error)) throw error
      if (items.length === 1) {
        this.#searched += 1
        this.#fail(items[0]!.index, error)
        return
      }
      if (this.#searched >= maxSearched) throw error
      const half = items.length >> 1
      await this.#splitting(items.slice(0, half), write)
      await this.#splitting(items.slice(half), write)
    }
  }

  async #write(statement: Sql): Promise<readonly (readonly unknown[])[]> {
    const { definition } = this.#table
    const { db, onCommitted } = this.#options
    const { signal } = this.#call
    try {
      if (this.#transaction !== null) return (await this.#transaction.query(statement, { signal })).rows
      const { rows } = await retry({ what: `writing ${definition.name}`, signal }, () =>
        db.query(statement, { signal }),
      )
      onCommitted()
      return rows
    } catch (error) {
      throw explainRefusal(error, definition)
    }
  }

  async #ask(statement: Sql): Promise<readonly (readonly unknown[])[]> {
    const { signal } = this.#call
    return (await (this.#transaction ?? this.#options.db).query(statement, { signal })).rows
  }

  async #each(work: (row: unknown, index: number) => void): Promise<void> {
    for (const [index, row] of this.#input.rows.entries()) {
      if (index % sliceRows === sliceRows - 1) await nextTurn()
      this.#trying(index, () => work(row, index))
    }
  }

  /** Whether it could be done; what is wrong with the row is kept. */
  #trying(index: number, work: () => unknown): boolean {
    try {
      work()
      return true
    } catch (error) {
      if (!isOfOneRow(error)) throw error
      this.#fail(index, error)
      return false
    }
  }

  #fail(index: number, error: TidemarkError): void {
    if (this.#transaction !== null) throw error
    this.#failed.push(failureOf(error, index))
  }
}

/** @throws TidemarkError TM_VERSION_REQUIRED */
export function assertVersioned(
  { definition }: RecordTable,
  { precondition }: Pick<KeyedItem, 'precondition'>,
  { requireVersion }: Pick<RecordsOptions, 'requireVersion'>,
): void {
  if (precondition.kind !== 'none') return
  if (requireVersion === true || (requireVersion !== false && requireVersion.includes(definition.name)))
    throw new TidemarkError('TM_VERSION_REQUIRED', { table: definition.name })
}

/** Which columns are left to PostgreSQL. */
function absence(values: readonly CanonicalValue[]): string {
  let places = ''
  for (let i = 0; i < values.length; i++) if (values[i] === undefined) places += `${i},`
  return places
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): readonly (readonly T[])[] {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group) group.push(item)
    else groups.set(key, [item])
  }
  return [...groups.values()]
}
