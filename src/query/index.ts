export type {
  AggregateDeclaration,
  AggregateSource,
  CellsQueryInput,
  CheckedDeclaration,
  CheckedQuery,
  DeclaredKey,
  DimensionOptions,
  KeyWhere,
  QueryInput,
  QueryRow,
  ShapeOfDeclaration,
} from './aggregate-types.ts'
export type { AggregateOptions } from './aggregates.ts'
export {
  avg,
  candlestick,
  count,
  countDistinct,
  delta,
  first,
  histogram,
  increase,
  last,
  max,
  min,
  percentile,
  percentiles,
  rate,
  stddev,
  sum,
  timeWeightedAvg,
  topK,
  uniques,
  variance,
} from './aggregates.ts'
export type {
  Answer,
  AnswerPlan,
  ConsideredAggregate,
  OutputRow,
  OutputValue,
  PartialOutput,
  PlanPart,
} from './answer.ts'
export { showRange } from './answer.ts'
export { planBuckets, windowAtEnd } from './bucket-plan.ts'
export { canonicalFilter, canonicalJson } from './canonical.ts'
export {
  type AnswerComparison,
  type AnswerDifference,
  comparableQuestion,
  compareAnswers,
} from './compare-answers.ts'
export { ExactNumber, evaluateFilter, type Operand, type Truth } from './evaluate.ts'
export {
  type EventPart,
  type EventQuestion,
  type EventRequest,
  type EventRow,
  type EventStore,
  type EventTable,
  type EventText,
  readEventQuestion,
} from './events.ts'
export { executeQuery } from './execute.ts'
export { filterRefs, filterToJson, refText } from './filter-json.ts'
export { defaultQueryLimits, type QueryLimits, queryLimits } from './limits.ts'
export { type Materialization, materializationOf, stateRequestKey, stateRequests } from './materialization.ts'
export type * from './nodes.ts'
export { parseQuery } from './parse.ts'
export { cellColumns } from './parse-cells.ts'
export type { ParseContext } from './parse-context.ts'
export {
  intersect,
  type PartPlan,
  type PartSource,
  type PlannedPart,
  planParts,
  type UnansweredStretch,
} from './plan-parts.ts'
export { boundsOfRows, type CellsFound, type CellsQuery, estimateRows, readCells } from './read-cells.ts'
export { readNamedCells } from './read-named-cells.ts'
export type { QueryContext, ResultsCache } from './read-parts.ts'
export { type ReadUniques, readUniques, type UniquesFound, type UniquesRequest } from './read-uniques.ts'
export { inputTypeOf, type OutputColumn, outputColumns } from './references.ts'
export { type ChangeView, type ChangeWatch, joinRanges, touches } from './results-cache/change-watch.ts'
export { type CountingResultsCache, createResultsCache } from './results-cache/results-cache.ts'
export type { KeptCounts } from './results-cache/store.ts'
export {
  compareNewest,
  compareRowKeys,
  type NewestKey,
  newestKeys,
  type RowOrder,
  type RowOrderKey,
  rowOrder,
} from './row-order.ts'
export { scopeQuery, tenantFilter, withTenant } from './tenant-filter.ts'
export { aggregatesForTenant, eventPartsForTenant, hidesOthers, partsForTenant } from './tenant-plan.ts'
export type * from './tier.ts'
export { everything, unknownState } from './tier.ts'
export type {
  AggregateInput,
  AggregateQueryInput,
  AggregateValue,
  ConditionOf,
  FillInput,
  FilterRef,
  GroupRef,
  JsonCondition,
  JsonPath,
  LatestInput,
  OutputNames,
  RowsInput,
  WhereInput,
} from './types.ts'
export { canonicalKey, compareValues, keyText } from './values.ts'
