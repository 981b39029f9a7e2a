import type { Queryable } from '../postgres/index.ts'
import { bucketOrigin, floorDivide, type Instant } from '../time/index.ts'
import { raw, sql } from '../util/sql.ts'
import type { HypertableRecord } from './hypertable.ts'
import { timestamptzText } from './timestamp.ts'
import { cellSql } from './triggers.ts'

const originNumber = Number(bucketOrigin)

/**
 * The cells that a batch touched, collected row by row. Distinct pairs only; past the limit tenants are given up, so
 * its memory is bounded by the time that the batch covers.
 */
export class TouchedCells {
  readonly cellMicros: bigint
  readonly #cellMicrosNumber: number
  readonly #maxPairs: number
  #byTenant = new Map<string | null, Set<number>>()
  #pairs = 0
  #lastTenant: string | null = null
  #lastSet: Set<number> | null = null
  #lastCell = Number.NaN

  constructor(cellMicros: bigint, maxPairs = 10_000) {
    this.cellMicros = cellMicros
    this.#cellMicrosNumber = Number(cellMicros)
    this.#maxPairs = maxPairs
  }

  get isEmpty(): boolean {
    return this.#pairs === 0
  }

  /** `micros` is an instant; a number where it is exact (years 1685 to 2255) saves the bigint. */
  add(tenant: string | null, micros: number | Instant): void {
    const cell =
      typeof micros === 'number'
        ? Math.floor((micros - originNumber) / this.#cellMicrosNumber)
        : Number(floorDivide(micros - bucketOrigin, this.cellMicros))
    if (cell === this.#lastCell && tenant === this.#lastTenant && this.#lastSet !== null) return
    if (tenant !== this.#lastTenant || this.#lastSet === null) {
      let set = this.#byTenant.get(tenant)
      if (set === undefined) {
        set = new Set()
        this.#byTenant.set(tenant, set)
      }
      this.#lastSet = set
      this.#lastTenant = tenant
    }
    this.#lastCell = cell
    const before = this.#lastSet.size
    this.#lastSet.add(cell)
    if (this.#lastSet.size > before && ++this.#pairs > this.#maxPairs) this.#giveUpTenants()
  }

  #giveUpTenants(): void {
    if (this.#byTenant.size === 1 && this.#byTenant.has(null)) return
    const all = new Set<number>()
    for (const cells of this.#byTenant.values()) for (const cell of cells) all.add(cell)
    this.#byTenant = new Map([[null, all]])
    this.#pairs = all.size
    this.#lastSet = null
  }

  /** One start inside each touched cell, with its tenant. */
  entries(): { readonly tenants: (string | null)[]; readonly starts: Instant[] } {
    const tenants: (string | null)[] = []
    const starts: Instant[] = []
    for (const [tenant, cells] of this.#byTenant) {
      for (const cell of cells) {
        tenants.push(tenant)
        starts.push(bucketOrigin + BigInt(cell) * this.cellMicros)
      }
    }
    return { tenants, starts }
  }
}

/** Logs cells in the transaction of the connection, coalesced by the same function as the triggers use. */
export async function logCells(
  connection: Queryable,
  hypertable: HypertableRecord,
  cells: TouchedCells,
  source: 'ingest' = 'ingest',
): Promise<void> {
  if (cells.isEmpty) return
  const { tenants, starts } = cells.entries()
  // That of the cells: the table's own may have been declared anew since they were collected.
  const { width } = cellSql(cells.cellMicros)
  await connection.query(sql`
    select tidemark.log_cells(
      ${hypertable.id}::int,
      ${source}::text,
      ${width},
      ${tenants}::text[],
      ${starts.map(timestamptzText)}::timestamptz[]
    )`)
}

/** From here on the transaction's direct writes to partitions of the hypertable are logged by its own calls only. */
export function beginLoggedWriteSql(hypertable: Pick<HypertableRecord, 'id'>): string {
  return `select tidemark.begin_logged_write(${hypertable.id})`
}

/** As `beginLoggedWriteSql`, run. */
export async function beginLoggedWrite(connection: Queryable, hypertable: HypertableRecord): Promise<void> {
  await connection.query(raw(beginLoggedWriteSql(hypertable)))
}

/**
 * Says that answers about a dataset may be others though no row of it was written: cells of a continuous aggregate took late rows, or
 * were dropped. For those who follow changes (the feed); consumers of the change log have nothing to do then.
 *
 * @example
 * await noteDatasetChange(connection, 'metrics.requests')
 */
export async function noteDatasetChange(connection: Queryable, dataset: string): Promise<void> {
  await connection.query(sql`select tidemark.note_table_change(${dataset}::text, array[null]::text[])`)
}
