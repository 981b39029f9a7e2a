export type { CatalogMigration, CatalogOptions, CatalogReport } from './catalog.ts'
export { migrateCatalog, readCatalogMigrations } from './catalog.ts'
