import { postgresSnapshot } from '../hot/index.ts'
import { everything, intersect, type ReadSnapshot, type Tier } from '../query/index.ts'
import type { ContinuousAggregateDefinition, DatasetDefinition } from '../schema/index.ts'
import { type Instant, nextBucket } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, sql } from '../util/sql.ts'
import { readVersions } from './catalog.ts'
import { bucketColumn, cellSchema } from './cell-table.ts'
import { scanCells } from './scan-cells.ts'
import {
  type AggregateCatalogs,
  createAggregateCatalogs,
  type HeldAggregates,
  type HeldVersion,
} from './tier-catalog.ts'
import { coverageWithin, fitCells } from './tier-fit.ts'

export interface AggregateTierOptions {
  readonly definition: ContinuousAggregateDefinition
  /** One for all tiers of an engine: what is valid is asked once for all aggregates of a hypertable. */
  readonly catalogs: AggregateCatalogs
}

/** A tier for each continuous aggregate, in the order in which they are preferred where two cost the same. */
export function createAggregateTiers(definitions: readonly ContinuousAggregateDefinition[]): readonly Tier[] {
  const catalogs = createAggregateCatalogs((query, base) =>
    readVersions({ query }, base, { states: ['current'] }),
  )
  return definitions.map((definition) => createAggregateTier({ definition, catalogs }))
}

/**
 * The cells of one continuous aggregate. It holds no rows: it answers aggregates, in the stretches in which its cells are
 * valid in the snapshot and whole in the request. By the definition of its current version, which may be older than the declared one.
 *
 * @example
 * const catalogs = createAggregateCatalogs(load)
 * const tiers = [createHotTier(), createAggregateTier({ definition: hourly, catalogs })]
 */
export function createAggregateTier({ definition, catalogs }: AggregateTierOptions): Tier {
  const { name, base } = definition

  const isBase = (dataset: DatasetDefinition): boolean => dataset.name === base.name

  function whyNone(snapshot: ReadSnapshot): string {
    const misfit = catalogs.last(postgresSnapshot(snapshot), base)?.misfit ?? null
    return misfit === null
      ? 'it has not been made yet: migrate does'
      : `aggregates in the catalog do not fit what is declared here: ${misfit}`
  }

  function heldIn(
    snapshot: ReadSnapshot,
  ): { readonly held: HeldAggregates; readonly mine: HeldVersion } | null {
    const held = catalogs.last(postgresSnapshot(snapshot), base)
    const mine = held?.versions.get(name)
    return held && mine ? { held, mine } : null
  }

  return Object.freeze<Tier>({
    name,

    async coverage(dataset, range, { snapshot, signal, aggregate }) {
      if (!isBase(dataset)) return []
      const held = await catalogs.read(postgresSnapshot(snapshot), base, signal)
      const mine = held?.versions.get(name)
      return held && mine ? coverageWithin(held, mine, range ?? everything, aggregate?.name === name) : []
    },

    cannot: (request) =>
      isBase(request.dataset) ? null : `${name} holds nothing of ${request.dataset.name}`,

    fit(request, { snapshot, aggregate }) {
      if (!isBase(request.dataset)) return null
      const found = heldIn(snapshot)
      if (!found) return { coverage: [], within: () => [], cannot: null, note: whyNone(snapshot) }
      return fitCells(request, found.held, found.mine, aggregate?.name === name)
    },

    /** Without a look at `where`: keys come after the bucket in the index. */
    async bounds(dataset, range, _where, { snapshot, signal }) {
      const found = isBase(dataset) ? heldIn(snapshot) : null
      if (!found) return null
      const { version } = found.mine
      const column = identifier(bucketColumn)
      const { rows } = await postgresSnapshot(snapshot).query(
        sql`select min(${column}), max(${column}) from ${identifier(cellSchema, version.relation)}`,
        signal,
      )
      const [first, last] = rows[0] as [Instant | null, Instant | null]
      if (first === null || last === null) return null
      return intersect(
        { from: first, to: nextBucket(version.materialization.bucket, last) },
        range ?? everything,
      )
    },

    forget(dataset) {
      if (isBase(dataset)) catalogs.forget(base)
    },

    async scan(request, { snapshot, signal }) {
      const found = heldIn(snapshot)
      if (!found) throw holdsNoRows(name)
      return scanCells(request, found.mine, postgresSnapshot(snapshot), signal)
    },

    rows: async () => {
      throw holdsNoRows(name)
    },
    latest: async () => {
      throw holdsNoRows(name)
    },
  })
}

function holdsNoRows(name: string): TidemarkError<'TM_QUERY'> {
  return new TidemarkError('TM_QUERY', { path: 'dataset', problem: `${name} holds cells, not rows` })
}
