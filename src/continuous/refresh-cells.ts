import { canSlice, type InputType, type KeySlice, sliceEnd } from '../aggregate/index.ts'
import type { Connection } from '../postgres/index.ts'
import {
  type CellsFound,
  type FilterNode,
  type FilterValue,
  type QueryContext,
  queryLimits,
  readCells,
  windowAtEnd,
} from '../query/index.ts'
import { approximateMicros, bucketStart, type TimeRange } from '../time/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { cellTableOf } from './cell-table.ts'
import { deleteCells, insertCells } from './cells.ts'
import type { RefreshSizes } from './refresh-sizes.ts'
import type { Window } from './refresh-windows.ts'
import type { AggregateVersion } from './version.ts'

export interface ComputedWindow {
  /** The newer end of what was asked for, or all of it. */
  readonly range: TimeRange
  readonly rows: number
  readonly cells: number
}

/** Into how much less something is cut that was too much. */
const cutInto = 8

/**
 * Computes cells again, from what the snapshot of the transaction sees: all of the window, or as many of its newest buckets as are
 * computed at once. One bucket is computed as a whole, whatever it has: where that is too much for the memory, part of its keys by part,
 * each read, written and forgotten.
 */
export async function computeCells(
  connection: Connection,
  version: AggregateVersion,
  { range, tenants, estimatedRows }: Window & { readonly estimatedRows: number },
  query: QueryContext,
  sizes: RefreshSizes,
): Promise<ComputedWindow> {
  const { base, bucket, keys, states } = version.materialization
  const read = (piece: TimeRange, slice: KeySlice | null): Promise<CellsFound> =>
    readCells(
      {
        ...{ dataset: base, bucket, by: keys, where: ofTenants(version, tenants), states, range: piece },
        ...(slice ? { slice } : {}),
      },
      { ...query, limits: queryLimits({ ...query.limits, maxCells: sizes.maxCells() }) },
    )
  const write = async ({ rows, cells }: CellsFound): Promise<void> => {
    const bytes = await insertCells(connection, version, cells)
    sizes.learn({ rows, cells: cells.length, bytes })
  }

  let piece = range
  while (bucketStart(bucket, piece.to - 1n) > piece.from) {
    const found = await orTooMuch(() => read(piece, null))
    if (found !== null) {
      await deleteCells(connection, version, piece, tenants)
      await write(found)
      return { range: piece, rows: found.rows, cells: found.cells.length }
    }
    const buckets = Number(piece.to - piece.from) / Number(approximateMicros(bucket.every))
    piece = windowAtEnd(bucket, piece, Math.max(1, Math.floor(buckets / cutInto)), true)
  }

  const mayCut = canSlice(cellTableOf(version.materialization).keys.map(({ type }) => type as InputType))
  const part = Number(piece.to - piece.from) / Number(range.to - range.from)
  let share = mayCut ? sizes.nextShare({ rows: estimatedRows * part }) : 1
  let [rows, cells] = [0, 0]
  await deleteCells(connection, version, piece, tenants)
  for (let from = 0; from < sliceEnd; ) {
    const to = Math.min(sliceEnd, from + Math.max(1, Math.floor(share * sliceEnd)))
    const slice = from === 0 && to === sliceEnd ? null : { from, to }
    const run = (): Promise<CellsFound> => read(piece, slice)
    const found = mayCut && to - from > 1 ? await orTooMuch(run) : await run()
    if (found === null) {
      share = (to - from) / sliceEnd / cutInto
      continue
    }
    await write(found)
    rows += found.rows
    cells += found.cells.length
    share = sizes.nextShare({ share: (to - from) / sliceEnd, cells: found.cells.length })
    from = to
  }
  return { range: piece, rows, cells }
}

/** Null where there are more cells than are taken at once. */
async function orTooMuch<T>(run: () => Promise<T>): Promise<T | null> {
  try {
    return await run()
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'TM_LIMIT') return null
    throw error
  }
}

function ofTenants(
  { materialization }: AggregateVersion,
  names: readonly string[] | null,
): FilterNode | null {
  const { base, where } = materialization
  const { tenant } = base
  if (names === null || tenant === null) return where
  const type = base.columns[tenant]?.type
  const values = names.map(
    (name): FilterValue => (type === 'int4' ? Number(name) : type === 'int8' ? BigInt(name) : name),
  )
  const own: FilterNode = { kind: 'in', ref: { column: tenant, path: [] }, values }
  return where === null ? own : { kind: 'and', filters: [where, own] }
}
