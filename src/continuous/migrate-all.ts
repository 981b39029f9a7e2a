import { type MigrateOptions, type MigrationReport, migrate } from '../migrate/index.ts'
import type { Database } from '../postgres/index.ts'
import type { TidemarkConfig } from '../schema/index.ts'
import { migrateAggregates } from './migrate.ts'
import { assertLateCanMerge } from './migrate-late.ts'

/** Tables, then aggregates over them, then views, which may read both. */
export async function migrateDeclared(
  db: Database,
  { datasets, aggregates, views }: Pick<TidemarkConfig, 'datasets' | 'aggregates' | 'views'>,
  options: MigrateOptions = {},
): Promise<MigrationReport> {
  await assertLateCanMerge(db, { datasets, aggregates })
  const everything = [...datasets, ...views]
  // a view that reads an aggregate cannot be made before it
  const tables = await migrate(db, aggregates.length > 0 && !options.dryRun ? datasets : everything, options)
  // a table that is still being converted is no hypertable yet
  if (tables.conversions.some(({ unfinished }) => unfinished !== null)) return tables
  const { steps, undeclared } = await migrateAggregates(db, aggregates, options)
  const all =
    aggregates.length > 0 && views.length > 0 && !options.dryRun
      ? await migrate(db, everything, options)
      : tables
  return {
    ...all,
    catalog: tables.catalog,
    conversions: tables.conversions,
    steps: [...tables.steps, ...steps, ...(all === tables ? [] : all.steps)],
    undeclared: [...all.undeclared, ...undeclared].sort(),
    undeclaredAggregates: undeclared,
  }
}
