import { t } from './column.ts'
import { hypertable } from './hypertable.ts'
import type { Hypertable, QualifiedNameOf } from './infer.ts'

/** What can be said of a table that a protocol fills; see `hypertable`. */
export interface ProtocolTableOptions {
  readonly chunk?: string
  readonly freeze?: { readonly after: string }
  readonly retain?: string
  readonly comment?: string
}

const metricsColumns = {
  time: t.timestamptz(),
  measurement: t.text(),
  series: t.text().comment('measurement{tag="value",…}, tags sorted'),
  tags: t.jsonb<Record<string, string>>(),
  fields: t.jsonb<Record<string, number | string | boolean>>(),
}

/**
 * A hypertable for points of any measurement: the catch-all of line protocol.
 *
 * @example
 * import { defineConfig, metricsTable } from 'tidemark/schema'
 * const metrics = metricsTable('metrics.everything', { retain: '90 days' })
 * export default defineConfig({ datasets: [metrics], ingest: { lineProtocol: { catchAll: metrics } } })
 * @throws TidemarkError TM_DECLARATION
 */
export function metricsTable<const Name extends string>(
  name: Name,
  options: ProtocolTableOptions = {},
): Hypertable<QualifiedNameOf<Name>, typeof metricsColumns, 'time', never, never> {
  return hypertable(name, {
    columns: metricsColumns,
    time: 'time',
    orderBy: ['series', 'time'],
    indexes: [
      ['series', '-time'],
      ['measurement', '-time'],
    ],
    ...options,
  })
}

const samplesColumns = {
  time: t.timestamptz(),
  metric: t.text(),
  series: t.text().comment('metric{label="value",…}, labels sorted'),
  labels: t.jsonb<Record<string, string>>(),
  value: t.float8(),
}

/**
 * A hypertable for the samples of Prometheus.
 *
 * @example
 * const samples = samplesTable('metrics.samples')
 * export default defineConfig({ datasets: [samples], ingest: { prometheus: { into: samples } } })
 * @throws TidemarkError TM_DECLARATION
 */
export function samplesTable<const Name extends string>(
  name: Name,
  options: ProtocolTableOptions = {},
): Hypertable<QualifiedNameOf<Name>, typeof samplesColumns, 'time', never, never> {
  return hypertable(name, {
    columns: samplesColumns,
    time: 'time',
    orderBy: ['series', 'time'],
    indexes: [
      ['series', '-time'],
      ['metric', '-time'],
    ],
    ...options,
  })
}
