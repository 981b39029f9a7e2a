import type { Consumer } from '../changelog/index.ts'
import { canonicalJson, type Materialization } from '../query/index.ts'
import type { DimensionDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'

export type ViewDimensions = Readonly<Record<string, Pick<DimensionDefinition, 'table' | 'on' | 'column'>>>

/** A definition of a continuous aggregate as the catalog has it, with the table of its cells. */
export interface AggregateVersion {
  readonly id: number
  /** Name of the aggregate. */
  readonly name: string
  readonly hypertableId: number
  /** Table of the cells, in schema `cellSchema`. */
  readonly relation: string
  readonly state: 'building' | 'current' | 'retired'
  readonly epoch: bigint
  /** By the place of a state: it is not known in buckets before. */
  readonly unknownBefore: ReadonlyMap<number, Instant>
  /** Its own retention has dropped cells of buckets before; null: it has dropped none. */
  readonly expiredBefore: Instant | null
  /** Columns of plain tables that its view looks up. */
  readonly dimensions: ViewDimensions
  /** Of the definition in the catalog, which may be older than the declared one. */
  readonly materialization: Materialization
}

/** Whether a cell of the one is a cell of the other: the same buckets, keys and rows. */
export function sameShape(a: AggregateVersion, b: AggregateVersion): boolean {
  const shape = ({ materialization: { bucket, keys, definition } }: AggregateVersion): string =>
    canonicalJson({
      every: bucket.every.text,
      zone: bucket.zone,
      keys: keys.map(({ ref }) => [ref.column, ...ref.path]),
      where: definition.where,
    } as never)
  return shape(a) === shape(b)
}

/** Who reads the change log for a version; the position is in the catalog. */
export function consumerOf({ id, hypertableId }: AggregateVersion): Consumer {
  return { name: `aggregate:${id}`, hypertableId }
}
