export { beginRowMove } from './append-only.ts'
export type { CatalogMigration, CatalogOptions, CatalogReport } from './catalog.ts'
export { migrateCatalog, readCatalogMigrations } from './catalog.ts'
export type { ConversionReport } from './conversion/convert.ts'
export { cancelConversion, convertTable } from './conversion/convert.ts'
export type { ConversionProgress, ConvertOptions } from './conversion/options.ts'
export { convertDefaults } from './conversion/options.ts'
export type { MigrateOptions, MigrationReport } from './migrate.ts'
export { assertNothingDestructive, explained, migrate, migrateDefaults } from './migrate.ts'
export { applyPartitionPolicies } from './partition-policies.ts'
export { planMigration } from './plan.ts'
export { recordChange } from './record-change.ts'
export type { DeclaredRelation, Drift, MigrationPlan, MigrationStep, StepClass, StepKind } from './step.ts'
export { step } from './step.ts'
export { chunkSchema, fitName, text } from './table-ddl.ts'
export { bypassStatement, grantUsage, limitedRole, missingTenantRights, readerRole } from './tenant-roles.ts'
export {
  isAsDeclared,
  readTenantRelations,
  tenantPolicy,
} from './tenant-rows.ts'
export { inTransaction, isLockProblem, withMigrationLock } from './transaction.ts'
