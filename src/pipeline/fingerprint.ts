import { createHash } from 'node:crypto'
import type { CanonicalRow } from '../schema/index.ts'
import { toJsonText } from '../util/json.ts'
import type { IngestBatch } from './contract.ts'
import type { CheckedRows } from './row-checker.ts'

/**
 * What a batch is: the same rows in the same order, and what was asked for. In the form that is stored, so that a client that
 * writes a number or a time in another way means the same. Where steps of enrichment add to rows it is what was sent: what they
 * add may change between two tries, as a database of countries does.
 */
export function fingerprintOf(batch: IngestBatch, { rows, dead, given }: CheckedRows): Uint8Array {
  const hash = createHash('sha256')
  if (given !== batch.rows) {
    hash.update(JSON.stringify([batch.onConflict, batch.isAtomic, 'as sent', batch.rows.length]))
    for (const row of batch.rows) hash.update(`${toJsonText(row)}\n`)
    return hash.digest()
  }
  hash.update(JSON.stringify([batch.onConflict, batch.isAtomic, rows.length]))
  const columns = Object.entries(batch.definition.columns)
    .map(([name, { default: otherwise }], place) => ({ name, place, hasDefault: otherwise !== null }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const row of rows) hash.update(textOf(columns, row))
  for (const { index, column, value } of dead) hash.update(JSON.stringify([index, column, value]))
  return hash.digest()
}

interface FingerprintColumn {
  readonly name: string
  readonly place: number
  readonly hasDefault: boolean
}

/** By name, and without what was not given: a column that is declared between two tries makes no other batch of it. */
function textOf(columns: readonly FingerprintColumn[], row: CanonicalRow): string {
  const given = columns.flatMap(({ name, place, hasDefault }) => {
    const value = row[place]
    return value === undefined || (value === null && !hasDefault) ? [] : [[name, value]]
  })
  return JSON.stringify(given, (_, value: unknown) => {
    if (typeof value === 'bigint') return `${value}n`
    // JSON.stringify writes it as null
    return typeof value === 'number' && !Number.isFinite(value) ? `${value}f` : value
  })
}
