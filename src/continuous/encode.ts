import { createHash } from 'node:crypto'
import { canonicalFilter, canonicalJson, materializationOf } from '../query/index.ts'
import type {
  AggregateCall,
  ContinuousAggregateDefinition,
  HypertableDefinition,
  JsonValue,
} from '../schema/index.ts'
import { parseInterval } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'

/**
 * A definition as JSON for the catalog. Outputs are a list, because jsonb forgets the order of keys, and the order of outputs is that
 * of the columns of cells.
 */
export interface EncodedAggregate {
  readonly version: 1
  readonly name: string
  /** What it was declared over, and the hypertable under it. */
  readonly from: string
  readonly base: string
  readonly bucket: { readonly every: string; readonly zone: string | null }
  readonly by: readonly string[]
  readonly where: JsonValue | null
  readonly select: readonly { readonly name: string; readonly call: AggregateCall }[]
  /** For people and the view; cells do not hang on them, so `decodeAggregate` leaves them out. */
  readonly dimensions: Readonly<
    Record<
      string,
      { readonly table: string; readonly on: Readonly<Record<string, string>>; readonly column: string }
    >
  >
  readonly refresh: { readonly every: string }
  readonly retain: string | null
  readonly comment: string | null
}

/** Plain JSON that `decodeAggregate` turns back into a definition of the same cells. */
export function encodeAggregate(definition: ContinuousAggregateDefinition): EncodedAggregate {
  const { name, from, base, bucket, by, where, select, dimensions, refresh, retain, comment } = definition
  return {
    version: 1,
    name,
    from: from.name,
    base: base.name,
    bucket: { every: bucket.every.text, zone: bucket.zone },
    by,
    where,
    select: Object.entries(select).map(([output, call]) => ({ name: output, call })),
    dimensions: Object.fromEntries(
      Object.entries(dimensions).map(([key, { table, on, column }]) => [key, { table, on, column }]),
    ),
    refresh: { every: refresh.every.text },
    retain: retain?.text ?? null,
    comment,
  }
}

/**
 * The definition that was encoded, right over its hypertable: what was declared between them is part of it. Without dimensions, which
 * are no part of cells.
 *
 * @throws TidemarkError TM_MIGRATION when a newer release has written it.
 */
export function decodeAggregate(json: unknown, base: HypertableDefinition): ContinuousAggregateDefinition {
  const encoded = json as EncodedAggregate
  if (typeof encoded !== 'object' || encoded === null || encoded.version !== 1)
    throw new TidemarkError('TM_MIGRATION', {
      problem: `the catalog's declaration of ${String(encoded?.name ?? 'an aggregate')} has version ${String(encoded?.version)}, and this release reads version 1`,
      todo: 'use the version of Tidemark that migrated this database last, or a newer one',
    })
  const [schema = '', table = ''] = encoded.name.split('.')
  return Object.freeze({
    kind: 'aggregate',
    name: encoded.name,
    schema,
    table,
    from: base,
    base,
    bucket: Object.freeze({ every: parseInterval(encoded.bucket.every), zone: encoded.bucket.zone }),
    by: Object.freeze([...encoded.by]),
    dimensions: Object.freeze({}),
    where: encoded.where,
    select: Object.freeze(Object.fromEntries(encoded.select.map(({ name, call }) => [name, call]))),
    refresh: Object.freeze({ every: parseInterval(encoded.refresh.every) }),
    retain: encoded.retain === null ? null : parseInterval(encoded.retain),
    comment: encoded.comment,
  })
}

/**
 * Equal for definitions of equal cells, however they are written: sha256 in hexadecimal of what cells hang on. Not of refresh, retain,
 * comment and dimensions, which change in place, and not of what lies between the aggregate and its hypertable.
 */
export function definitionHash(definition: ContinuousAggregateDefinition): string {
  const { base, bucket, by, select } = definition
  const { where, outputs } = materializationOf(definition)
  const calls = outputs.map(({ name, aggregate }) => {
    const call = select[name] as AggregateCall
    return { name, call: { ...call, where: canonicalFilter(aggregate.where) } }
  })
  const text = canonicalJson({
    base: base.name,
    // 60 minutes are an hour
    bucket: { ...bucket.every, text: undefined, zone: bucket.zone },
    by,
    where: canonicalFilter(where),
    select: calls,
  })
  return createHash('sha256').update(text).digest('hex')
}
