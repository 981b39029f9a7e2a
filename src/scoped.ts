import type { Tidemark } from './engine.ts'
import type { TenantScope } from './schema/index.ts'

/** The engine as somebody may use it: what is read and written is his alone. Routes of the server have nothing else. */
export type ScopedTidemark = { readonly scope: TenantScope } & Pick<
  Tidemark,
  | 'config'
  | 'datasets'
  | 'aggregates'
  | 'dataset'
  | 'queryable'
  | 'queryUnknown'
  | 'productUnknown'
  | 'ingestUnknown'
  | 'insertUnknown'
  | 'upsertUnknown'
  | 'updateUnknown'
  | 'deleteUnknown'
  | 'keepStrays'
  | 'parseCsv'
  | 'reserve'
  | 'now'
>

/**
 * @example
 * const mine = scopedTo(tm, { kind: 'one', tenant: 'acme' })
 * await mine.queryUnknown('metrics.requests', { from: '-1 day', select: { n: { fn: 'count' } } })
 */
export function scopedTo(tm: Tidemark, scope: TenantScope): ScopedTidemark {
  return {
    scope,
    config: tm.config,
    datasets: tm.datasets,
    aggregates: tm.aggregates,
    dataset: (name) => tm.dataset(name),
    queryable: (name) => tm.queryable(name),
    queryUnknown: (name, query, options) => tm.queryUnknown(name, query, { ...options, scope }),
    productUnknown: (kind, name, input, options) =>
      tm.productUnknown(kind, name, input, { ...options, scope }),
    ingestUnknown: (name, rows, options) => tm.ingestUnknown(name, rows, { ...options, scope }),
    insertUnknown: (name, rows, options) => tm.insertUnknown(name, rows, { ...options, scope }),
    upsertUnknown: (name, rows, options) => tm.upsertUnknown(name, rows, { ...options, scope }),
    updateUnknown: (name, change, options) => tm.updateUnknown(name, change, { ...options, scope }),
    deleteUnknown: (name, selection, options) => tm.deleteUnknown(name, selection, { ...options, scope }),
    keepStrays: (source, letters) => tm.keepStrays(source, letters),
    parseCsv: (definition, text) => tm.parseCsv(definition, text),
    reserve: (bytes, signal) => tm.reserve(bytes, signal),
    now: () => tm.now(),
  }
}
