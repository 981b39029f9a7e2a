import { type Coverage, everything, intersect } from '../query/index.ts'
import type { DatasetDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import type { ChunkCatalog, ChunkCatalogs } from './chunk-catalog.ts'
import type { PostgresSnapshot } from './read-snapshot.ts'

/**
 * The hot tier answers for the whole range: where there is no chunk, the default partition holds what there is. (Cold
 * chunks will be cut out here.) The number of rows is PostgreSQL's estimate and only compares costs.
 */
export async function readCoverage(
  dataset: DatasetDefinition,
  range: TimeRange | null,
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
  catalogs: ChunkCatalogs,
): Promise<readonly Coverage[]> {
  const whole = range ?? everything
  if (dataset.kind === 'hypertable')
    return [coverageOf(await catalogs.read(snapshot, dataset, signal), whole)]
  // Index: pg_namespace (nspname), pg_class (relname, relnamespace). -1: never analysed.
  const { rows } = await snapshot.query(
    sql`
      select nullif(c.reltuples, -1)::float8
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = ${dataset.schema}::text and c.relname = ${dataset.table}::text`,
    signal,
  )
  const estimatedRows = (rows[0]?.[0] as number | null | undefined) ?? null
  return [{ range: everything, holds: 'all', estimatedRows, pieces: 1 }]
}

/** The chunks of a catalog that reach into the range, as one stretch. */
export function coverageOf(catalog: ChunkCatalog, whole: TimeRange): Coverage {
  let rows = catalog.defaultRows
  let pieces = catalog.defaultRows > 0 ? 1 : 0
  for (const { range, estimatedRows } of catalog.chunks) {
    const common = intersect(range, whole)
    if (!common) continue
    pieces += 1
    rows += estimatedRows * (Number(common.to - common.from) / Number(range.to - range.from))
  }
  return { range: whole, holds: 'share', estimatedRows: Math.round(rows), pieces }
}
