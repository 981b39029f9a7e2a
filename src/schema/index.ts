export {
  type CacheConfig,
  type CacheLayer,
  type CacheLayerConfig,
  type CacheLayerOptions,
  type CacheSectionOptions,
  cacheConfigDefaults,
  cacheLayers,
  cacheWithRedis,
  type RedisCacheConfig,
  type RedisCacheOptions,
  redisCacheDefaults,
} from './cache-config.ts'
export {
  type CanonicalValue,
  type Coercer,
  type CoercerOptions,
  createCoercer,
  dayOfDate,
  ValueProblem,
} from './coerce.ts'
export { type Column, t } from './column.ts'
export {
  type ConfigOptions,
  configDefaults,
  defineConfig,
  type LakeConfig,
  type LimitOptions,
  type Limits,
  type TidemarkConfig,
} from './config.ts'
export type * from './definition.ts'
export { columnTypes } from './definition.ts'
export { decodeDefinition, type EncodedDefinition, encodeDefinition } from './encode.ts'
export {
  type ApplyStep,
  type Dropped,
  dropReason,
  type EnrichOptions,
  type EnrichStep,
  type RawRow,
} from './enrich-step.ts'
export type { InputForm, OutputForm } from './forms.ts'
export { isLoopback, nameOfHost } from './host-names.ts'
export { type EventOptions, type HypertableOptions, hypertable, hypertableDefaults } from './hypertable.ts'
export type {
  AggregateShape,
  AggregateShapeOf,
  ColumnNames,
  Columns,
  ColumnTypeOf,
  ContinuousAggregate,
  Hypertable,
  InsertRow,
  KeyOf,
  NumericColumns,
  QualifiedNameOf,
  Row,
  Table,
  TenantColumn,
  TimeColumn,
  UpdateRow,
} from './infer.ts'
export {
  type AnalyticsOptions,
  type AnalyticsRoute,
  type LineRoute,
  type LineRouteOptions,
  noProtocols,
  type ProtocolConfig,
  type ProtocolOptions,
  type Route,
  type RouteOptions,
} from './ingest-config.ts'
export type { Database, KyselyAggregate, KyselyTable, KyselyView } from './kysely.ts'
export { columnNameProblem, maxNameBytes, parseRelationName, type QualifiedName } from './names.ts'
export { type LogLevel, logLevels, type ObserveConfig, type ObserveOptions } from './observe-config.ts'
export { checkKeys, ProblemList, suggest } from './problems.ts'
export {
  columnsOfSources,
  type ProtocolKind,
  type ProtocolSource,
  plainName,
  protocolSources,
} from './protocol-sources.ts'
export { metricsTable, type ProtocolTableOptions, samplesTable } from './protocol-tables.ts'
export type { RecordsConfig, RecordsSectionOptions } from './records-config.ts'
export { readComment, readName, startProblems } from './relation.ts'
export { type CanonicalRow, createRowCodec, outputOf, type RowCodec, type RowProblem } from './row-codec.ts'
export type {
  AuthConfig,
  JwtAlgorithm,
  JwtConfig,
  JwtOptions,
  RateOptions,
  RateRule,
  ServerConfig,
  ServerSectionOptions,
} from './server-config.ts'
export { type IndexOptions, type TableOptions, table } from './table.ts'
export { allTenants, noTenant, type TenantScope } from './tenant.ts'
export {
  type TenantGuard,
  type TenantRule,
  type TenantValue,
  tenantGuard,
  tenantRule,
} from './tenant-rule.ts'
export { type View, type ViewDefinition, type ViewOptions, view } from './view.ts'
