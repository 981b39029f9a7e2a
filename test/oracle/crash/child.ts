/** A process of its own that does what it is told, until it is killed. Orders and answers are messages (advanced: bigint, NaN, Date). */

import { join } from 'node:path'
import {
  createAggregateTiers,
  mayDropChunk,
  migrateAggregates,
  type RefreshContext,
  refreshAggregate,
} from '../../../src/continuous/index.ts'
import { createTidemark } from '../../../src/engine.ts'
import { createChunkManager, createHotTier } from '../../../src/hot/index.ts'
import { createColdTier, createFolderStore, createLakeFiles } from '../../../src/lake/index.ts'
import { createLifecycle } from '../../../src/lifecycle/index.ts'
import { applyPartitionPolicies } from '../../../src/migrate/index.ts'
import { createDatabase } from '../../../src/postgres/index.ts'
import { defaultQueryLimits } from '../../../src/query/index.ts'
import { defineConfig, type HypertableDefinition } from '../../../src/schema/index.ts'
import { fixedClock } from '../../../src/time/index.ts'
import { isTidemarkError } from '../../../src/util/errors.ts'
import { raw } from '../../../src/util/sql.ts'
import { aggregatesOver } from '../aggregates.ts'
import { lakeConfig, moverSettings, oracleDuckDB } from '../lake.ts'
import { oracleNow, oracleTables } from '../tables.ts'
import { doomedDatabase, doomedStore, FaultPoint } from './doomed.ts'
import type { Answer, Order } from './orders.ts'

const [connectionString, root] = process.argv.slice(2) as [string, string]
const point = new FaultPoint()
const clock = fixedClock(oracleNow)
const plainDb = createDatabase({ connectionString, max: 5 })
const db = doomedDatabase(plainDb, point)
const store = doomedStore(createFolderStore({ dir: join(root, lakeConfig.dir) }), point)
const lifecycle = createLifecycle({
  db,
  store,
  files: createLakeFiles({ duckdb: oracleDuckDB(), store }),
  chunks: createChunkManager({ db, applyPolicies: applyPartitionPolicies }),
  clock,
  mayExpire: mayDropChunk,
  settings: { ...moverSettings[0]!, lockTries: 20, keepStrayMs: 60_000 },
})
const config = defineConfig({
  datasets: [...oracleTables, ...aggregatesOver(oracleTables, 0)],
  database: { maxConnections: 4 },
  lake: lakeConfig,
})
const tm = await createTidemark(config, { connectionString, clock, root })

/** Stops at any call, as moves do: what an engine has inside, with the database that dies. */
const refreshing: RefreshContext = {
  db,
  tiers: [
    createHotTier(),
    createColdTier({ duckdb: oracleDuckDB(), store }),
    ...createAggregateTiers(aggregatesOver(oracleTables, 0)),
  ],
  clock,
  limits: defaultQueryLimits,
}

const named = (name: string, variant = 0) =>
  aggregatesOver(oracleTables, variant).find((aggregate) => aggregate.name === name)!

/** As a deployment does: migrate, then refresh until the new version answers. */
async function redefine(variant: number): Promise<number> {
  await migrateAggregates(db, aggregatesOver(oracleTables, variant))
  const definition = named('oracle.by_hour', variant)
  for (let tries = 1; ; tries += 1) {
    const { swap } = await refreshAggregate(refreshing, definition)
    if (swap === null || swap.kind === 'swapped') return tries
    if (swap.kind === 'different') throw new Error(swap.problem!)
    if (tries > 20) throw new Error(`the new version does not take over: ${swap.problem}`)
  }
}

async function obey(order: Order): Promise<unknown> {
  const definition = tm.dataset(order.table)
  switch (order.kind) {
    case 'insert':
      return tm.insertUnknown(order.table, order.rows)
    case 'upsert':
      return tm.upsertUnknown(order.table, order.rows)
    case 'update':
    case 'delete': {
      const call = tm as unknown as Record<
        'update' | 'delete',
        (table: object, selection: object) => Promise<number>
      >
      return call[order.kind](definition, order.selection)
    }
    case 'erase': {
      const { rowsHot, rowsCold } = await tm.eraseUnknown(order.table, order.selection)
      return rowsHot + rowsCold
    }
    case 'import':
      return (await tm.import(order.table, order.file, order.options)).rows
    case 'sweep':
      return (await lifecycle.sweep()).removed
    case 'reclaim':
      return (await lifecycle.reclaim(definition as HypertableDefinition)).reclaimed
    case 'refresh':
      return (await refreshAggregate(refreshing, named(order.aggregate))).cells
    case 'redefine':
      return redefine(order.variant)
    case 'expire':
      return (await lifecycle.expire(definition as HypertableDefinition, { cutoff: order.cutoff })).chunks
    default: {
      const { chunks, failed } = await lifecycle[order.kind](
        definition as HypertableDefinition,
        order.selection,
      )
      if (failed.length > 0) throw new Error(failed.map(({ reason }) => reason).join('; '))
      return chunks
    }
  }
}

process.on(
  'message',
  (message: { readonly order: Order; readonly dieAt: number; readonly when: 'before' | 'after' }) => {
    point.arm(message.dieAt, message.when)
    obey(message.order).then(
      (value) => answer({ ok: true, value, calls: point.count }),
      (error: unknown) =>
        answer({
          ok: false,
          code: codeOf(error),
          message: String((error as Error).stack),
          calls: point.count,
        }),
    )
  },
)

function codeOf(error: unknown): string {
  if (!isTidemarkError(error)) return 'none'
  return error.code === 'TM_DATABASE' ? (error.params as { sqlstate: string }).sqlstate : error.code
}

function answer(given: Answer): void {
  process.send!(given)
}

// connected, and DuckDB is there: orders take as long as they do in a process that lives for long
try {
  await plainDb.query(raw('select 1'))
  process.send!('ready')
} catch {
  // the database has just been killed: another child comes
  process.exit(1)
}
