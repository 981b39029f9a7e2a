import type { ContinuousAggregateDefinition } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { naiveBucketStart, naiveBuckets } from '../helpers/naive-time.ts'
import type { ChunkState } from './lake.ts'
import type { StoredRow } from './values.ts'
import type { World } from './world.ts'

/** Zones are searched minute by minute, which is exact from 1972 on only. */
const exactFrom = 63_072_000_000_000n

/** More than the bucket of any table with late rows. */
const nearby = 2n * 86_400_000_000n

/** What a bucket had when retention first took a chunk that it touches: what its aggregate says from then on. */
interface FrozenBucket {
  /** With late rows that were merged since. */
  readonly rows: StoredRow[]
  /** The version that kept it. A later one has of it only what both keep. */
  readonly version: number
}

/** The archive of the shadow: buckets of aggregates whose rows are gone. */
export class FrozenBuckets {
  readonly #seen = new Set<bigint>()
  /** Of dropped chunks, by table. */
  readonly #dropped = new Map<string, ChunkState[]>()
  /** By aggregate and start of the bucket. */
  readonly #buckets = new Map<string, Map<bigint, FrozenBucket>>()

  /** To be called after whatever may have dropped chunks, while the shadow still has their rows. */
  async follow(world: World, name: string, states: readonly ChunkState[]): Promise<void> {
    const fresh = states.filter(({ id, state }) => state === 'dropped' && !this.#seen.has(id))
    if (fresh.length === 0) return
    const versions = await currentVersions(world)
    for (const { id } of fresh) this.#seen.add(id)
    this.#dropped.set(name, [...this.dropped(name), ...fresh])
    for (const definition of world.aggregates) {
      if (definition.base.name !== name) continue
      const { bucket } = definition
      const version = versions.get(definition.name)
      if (version === undefined) throw new Error(`${definition.name} has no version, and a chunk was dropped`)
      const mine = this.#buckets.get(definition.name) ?? new Map<bigint, FrozenBucket>()
      this.#buckets.set(definition.name, mine)
      const touched = fresh
        .filter(({ from }) => isExact(definition, from))
        .flatMap((chunk) => naiveBuckets(bucket, chunk))
      const held = new Map(
        touched.filter((start) => !mine.has(start)).map((start) => [start, [] as StoredRow[]]),
      )
      for (const row of world.rows(name)) {
        const time = row['time'] as bigint
        if (isExact(definition, time)) held.get(naiveBucketStart(bucket, time))?.push(row)
      }
      for (const [start, rows] of held) mine.set(start, { rows, version })
    }
  }

  dropped(name: string): readonly ChunkState[] {
    return this.#dropped.get(name) ?? []
  }

  /** Whether a row of a table lies in dropped time, or near it, where a bucket may be frozen. */
  isNearDropped(name: string, time: bigint): boolean {
    return this.dropped(name).some(({ from, to }) => time >= from - nearby && time < to + nearby)
  }

  has(aggregate: string, start: bigint): boolean {
    return this.#buckets.get(aggregate)?.has(start) === true
  }

  /** Late rows were merged: into every bucket that has them and is frozen. */
  merge(world: World, name: string, rows: readonly StoredRow[]): void {
    for (const definition of world.aggregates) {
      if (definition.base.name !== name) continue
      const mine = this.#buckets.get(definition.name)
      for (const row of rows)
        mine?.get(naiveBucketStart(definition.bucket, row['time'] as bigint))?.rows.push(row)
    }
  }

  /** Start of one of them, most of the time of one that had rows; null: there is none. */
  pick(name: string, n: number): bigint | null {
    const all = [...(this.#buckets.get(name) ?? [])]
    const full = all.filter(([, { rows }]) => rows.length > 0)
    const some = full.length > 0 && n % 12 !== 9 ? full : all
    return some[n % Math.max(1, some.length)]?.[0] ?? null
  }

  /**
   * Rows that an answer by the aggregate's name stands on: those of the shadow, and in place of whatever lies in frozen buckets
   * those of then; and the starts of buckets that another version than `version` kept, of which it knows what it could take over.
   */
  rowsOf(
    world: World,
    definition: ContinuousAggregateDefinition,
    version: number | undefined,
    range: { readonly from: bigint; readonly to: bigint },
  ): { readonly rows: StoredRow[]; readonly takenOver: readonly bigint[] } {
    const { bucket, base } = definition
    const mine = this.#buckets.get(definition.name) ?? new Map<bigint, FrozenBucket>()
    const rows = [...world.rows(base.name)].filter((row) => {
      const time = row['time'] as bigint
      return time >= range.from && time < range.to + 100n * 86_400_000_000n && isExact(definition, time)
        ? !mine.has(naiveBucketStart(bucket, time))
        : true
    })
    const takenOver: bigint[] = []
    for (const [start, frozen] of mine) {
      if (start < range.from || start >= range.to) continue
      if (frozen.version !== version) takenOver.push(start)
      rows.push(...frozen.rows)
    }
    return { rows, takenOver }
  }
}

function isExact({ bucket }: ContinuousAggregateDefinition, time: bigint): boolean {
  return bucket.zone === null || bucket.zone === 'UTC' || time >= exactFrom
}

/** Of each aggregate the version that answers. */
export async function currentVersions(world: World): Promise<Map<string, number>> {
  const { rows } = await world.real.db.query(sql`
    select a.schema_name || '.' || a.table_name, v.id
    from tidemark.aggregate as a
    join tidemark.aggregate_version as v on v.aggregate_id = a.id
    where v.state = 'current'`)
  return new Map(rows as unknown as [string, number][])
}
