export type { Routed, RoutedRow, RoutedRows } from './contract.ts'
export { createLogsRouter, createMetricsRouter, createSpansRouter } from './otlp.ts'
export { createLineRouter, createPrometheusRouter, type RouteLimits } from './points.ts'
export { seriesText } from './series.ts'
