import { TidemarkError } from '../util/errors.ts'
import { printSql, type Sql } from '../util/sql.ts'
import { type Decode, decoderFor } from './binary.ts'
import type { RowPieces } from './contract.ts'
import { FrontendMessages } from './frontend-messages.ts'
import { encodeParameter, type WireValue } from './parameters.ts'
import type { PreparedStatements } from './prepared-statements.ts'
import { Statement, type WireConnection } from './statement.ts'
import { isStaleStatement } from './translate-error.ts'

/** The protocol counts parameters in 16 bits. */
const maxParameters = 65_535

export interface BatchItemOptions {
  /** Of a prepared statement. */
  readonly name?: string
  /** Whether the connection should keep it prepared, where it may. */
  readonly isRepeated?: boolean
  /** A portal of this name stays open until the transaction ends; default: the unnamed one, until the next statement. */
  readonly portal?: string
  /** How many rows to give before the portal is left standing; default 0: all of them. */
  readonly maxRows?: number
}

/** A statement of a batch: its text and what goes in, then what has come back. */
export class BatchItem {
  readonly answer: { rows: unknown[][]; columns: string[]; rowCount: number } = {
    rows: [],
    columns: [],
    rowCount: 0,
  }
  /** There are more rows than were asked for. */
  isSuspended = false
  readonly text: string
  readonly name: string
  readonly isRepeated: boolean
  readonly portal: string
  readonly maxRows: number
  /** Null: the portal is there already. */
  readonly values: readonly WireValue[] | null
  #decoders: Decode[] = []

  constructor(text: string, values: readonly WireValue[] | null = [], options: BatchItemOptions = {}) {
    this.text = text
    this.values = values
    this.name = options.name ?? ''
    this.isRepeated = options.isRepeated === true
    this.portal = options.portal ?? ''
    this.maxRows = options.maxRows ?? 0
  }

  /** The next rows of the same portal. */
  more(maxRows: number): BatchItem {
    const item = new BatchItem(this.text, null, { portal: this.portal, maxRows })
    item.#decoders = this.#decoders
    item.answer.columns = this.answer.columns
    return item
  }

  /** Before it is asked once more. */
  reset(): void {
    this.answer.rows = []
    this.answer.columns = []
    this.#decoders = []
  }

  describe(bytes: Buffer, start: number): void {
    const count = bytes.readInt16BE(start)
    let offset = start + 2
    for (let i = 0; i < count; i += 1) {
      const end = bytes.indexOf(0, offset)
      const name = bytes.toString('utf8', offset, end)
      this.answer.columns.push(name)
      // name, table oid (4), attribute number (2), type oid (4), size (2), modifier (4), format (2)
      this.#decoders.push(decoderFor(bytes.readUInt32BE(end + 7), name))
      offset = end + 19
    }
  }

  add(bytes: Buffer, start: number): void {
    const count = bytes.readInt16BE(start)
    const row = new Array<unknown>(count)
    const decoders = this.#decoders
    let offset = start + 2
    for (let i = 0; i < count; i += 1) {
      const length = bytes.readInt32BE(offset)
      offset += 4
      if (length < 0) row[i] = null
      else {
        row[i] = decoders[i]!(bytes, offset, offset + length)
        offset += length
      }
    }
    this.answer.rows.push(row)
  }
}

export function batchItem(statement: Sql, options: BatchItemOptions = {}): BatchItem {
  const { text, values } = printSql(statement)
  if (values.length > maxParameters)
    throw new TidemarkError('TM_LIMIT', {
      what: 'the number of parameters of a statement',
      value: String(values.length),
      limit: String(maxParameters),
      todo: 'pass arrays and unnest them, or use COPY',
    })
  const isRepeated = statement.isRepeated === true
  return new BatchItem(text, values.map(encodeParameter), { isRepeated, ...options })
}

let portals = 0

/** The rows of a statement in pieces, each asked for by `ask`. */
export function rowPieces(statement: Sql, ask: (item: BatchItem) => Promise<void>): RowPieces {
  // a name of its own: statements of other parts may come between the pieces
  const portal = `tidemark_${++portals}`
  let last: BatchItem | null = null
  return {
    async next(count) {
      const item: BatchItem = last ? last.more(count) : batchItem(statement, { portal, maxRows: count })
      await ask(item)
      last = item
      return { rows: item.answer.rows, isEnd: !item.isSuspended }
    },
  }
}

/**
 * Statements by the extended protocol with binary results, in one round trip: there is one Sync behind the last, so the
 * first that fails ends all of them. (PgBouncer knows such a batch as one unit; a simple query followed by others
 * before its answer it does not in every version.)
 */
export class Batch extends Statement {
  readonly #items: readonly BatchItem[]
  readonly #prepared: PreparedStatements | null
  /** Texts that go by a name of `#prepared`. */
  readonly #kept: string[] = []
  #at = 0

  /** @param prepared What the connection keeps; null: it may keep nothing. */
  constructor(items: readonly BatchItem[], prepared: PreparedStatements | null = null) {
    // pg asks a statement for one name only; a batch of several has none.
    super(items.map(({ text }) => text).join('; '), items.length === 1 ? items[0]!.name : '')
    this.#items = items
    this.#prepared = prepared
  }

  submit(connection: WireConnection): Error | null {
    for (const { name, text } of this.#items) {
      const known = name !== '' ? connection.parsedStatements[name] : undefined
      if (known === undefined || known === text) continue
      const problem = `the statement name "${name}" is in use for another text`
      const error = new TidemarkError('TM_DATABASE', { sqlstate: '42P05', problem })
      // Nothing was sent, so the server will not say that it is ready.
      queueMicrotask(() => this.settle(error))
      return error
    }
    // one write: each is a system call, or a piece of one, and pg would make five of every statement
    const messages = new FrontendMessages()
    for (const stale of this.#prepared?.takeStale() ?? []) messages.close(stale)
    for (const item of this.#items) {
      const { portal, values, maxRows } = item
      if (values !== null) {
        messages.bind(portal, this.#parse(item, connection, messages), values)
        messages.describe(portal)
      }
      messages.execute(portal, maxRows)
    }
    messages.sync()
    if (connection.stream.writable) connection.stream.write(messages.take())
    return null
  }

  /** The name of the statement, which is there when what has been written is read. */
  #parse(
    { name, text, isRepeated }: BatchItem,
    connection: WireConnection,
    messages: FrontendMessages,
  ): string {
    if (this.#prepared && isRepeated) {
      const kept = this.#prepared.nameOf(text)
      if (kept.isNew) messages.parse(kept.name, text)
      this.#kept.push(text)
      return kept.name
    }
    if (name === '' || connection.parsedStatements[name] === undefined) messages.parse(name, text)
    return name
  }

  override handleError(error: unknown): void {
    super.handleError(error)
    // which of them the server has parsed by now is not known, nor whether one of them is what failed
    for (const text of this.#kept.splice(0)) this.#prepared?.forget(text)
    // where one is gone, all are, most likely
    if (isStaleStatement(error)) this.#prepared?.forgetAll()
  }

  override handleCommandComplete(message: { text: string }): void {
    super.handleCommandComplete(message)
    this.#complete()
  }

  override handleEmptyQuery(): void {
    this.#complete()
  }

  override handlePortalSuspended(): void {
    this.#items[this.#at]!.isSuspended = true
    this.#at += 1
  }

  #complete(): void {
    const item = this.#items[this.#at]
    if (item) item.answer.rowCount = this.rowCount
    this.#at += 1
  }

  override rowDescription(bytes: Buffer, start: number): void {
    try {
      this.#items[this.#at]!.describe(bytes, start)
    } catch (error) {
      this.problem ??= error
    }
  }

  override row(bytes: Buffer, start: number): void {
    if (this.problem !== null) return
    try {
      this.#items[this.#at]!.add(bytes, start)
    } catch (error) {
      this.problem = error
    }
  }
}
