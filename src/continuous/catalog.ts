import type { Queryable } from '../postgres/index.ts'
import { type Materialization, materializationOf } from '../query/index.ts'
import { decodeDefinition, type HypertableDefinition } from '../schema/index.ts'
import { type Instant, parseInstant } from '../time/index.ts'
import { raw, sql } from '../util/sql.ts'
import { decodeAggregate } from './encode.ts'
import { expiredKey } from './expired.ts'
import type { AggregateVersion, ViewDimensions } from './version.ts'

export interface ReadVersionsOptions {
  /** Default: building and current ones. */
  readonly states?: readonly AggregateVersion['state'][]
}

/** Decoded once: a version's definition changes only in what its cells do not hang on, and then its text does. */
const decoded = new WeakMap<HypertableDefinition, Map<string, Materialization>>()
const hypertables = new Map<string, HypertableDefinition>()
/** Of hypertables, and of definitions over one. */
const maxDecoded = 1_000

/**
 * Versions of continuous aggregates as the catalog has them, ordered by their id.
 *
 * @param base Only over this hypertable; null: all of them.
 *
 * @example
 * const versions = await readVersions(db, requests)
 * versions.map(({ name, state }) => `${name}: ${state}`) // ['metrics.hourly: current']
 */
export async function readVersions(
  db: Pick<Queryable, 'query'>,
  base: HypertableDefinition | null,
  options: ReadVersionsOptions = {},
): Promise<AggregateVersion[]> {
  const inStates = options.states ?? ['building', 'current']
  const ofBase =
    base === null
      ? raw('')
      : sql` and h.schema_name = ${base.schema}::text and h.table_name = ${base.table}::text`
  const { rows } = await db.query(sql`
    select
      v.id, a.schema_name || '.' || a.table_name, a.hypertable_id, v.relation_name, v.state, v.epoch, v.unknown_before,
      v.definition -> 'dimensions', v.definition::text, h.definition::text
    from tidemark.aggregate_version as v
    join tidemark.aggregate as a on a.id = v.aggregate_id
    join tidemark.hypertable as h on h.id = a.hypertable_id
    where v.state = any(${inStates}::text[])${ofBase}
    order by v.id`)
  return rows.map((row): AggregateVersion => {
    const [id, name, hypertableId, relation, state, epoch, unknownBefore, dimensions, text, baseText] =
      row as [
        number,
        string,
        number,
        string,
        AggregateVersion['state'],
        bigint,
        Readonly<Record<string, string>>,
        ViewDimensions,
        string,
        string,
      ]
    const { [expiredKey]: expired, ...states } = unknownBefore
    return {
      id,
      name,
      hypertableId,
      relation,
      state,
      epoch,
      unknownBefore: new Map(
        Object.entries(states).map(([place, at]): [number, Instant] => [Number(place), parseInstant(at)]),
      ),
      expiredBefore: expired === undefined ? null : parseInstant(expired),
      dimensions,
      materialization: decode(base ?? hypertableOf(baseText), text),
    }
  })
}

function hypertableOf(text: string): HypertableDefinition {
  return remembered(hypertables, text, () => decodeDefinition(JSON.parse(text)) as HypertableDefinition)
}

function decode(base: HypertableDefinition, text: string): Materialization {
  let known = decoded.get(base)
  if (!known) {
    known = new Map()
    decoded.set(base, known)
  }
  return remembered(known, text, () => materializationOf(decodeAggregate(JSON.parse(text), base)))
}

function remembered<T>(known: Map<string, T>, text: string, make: () => T): T {
  const found = known.get(text)
  if (found !== undefined) return found
  const made = make()
  if (known.size >= maxDecoded) known.clear()
  known.set(text, made)
  return made
}
