import { withholdOthers } from './engine/index.ts'
import type { Tidemark } from './engine.ts'
import type { TenantScope } from './schema/index.ts'
import { TidemarkError } from './util/errors.ts'

/** The engine as somebody may use it: what is read and written is his alone. Routes of the server have nothing else. */
export type ScopedTidemark = { readonly scope: TenantScope } & Pick<
  Tidemark,
  | 'config'
  | 'datasets'
  | 'aggregates'
  | 'dataset'
  | 'queryable'
  | 'queryUnknown'
  | 'sqlOf'
  | 'productUnknown'
  | 'ingestUnknown'
  | 'insertUnknown'
  | 'upsertUnknown'
  | 'updateUnknown'
  | 'deleteUnknown'
  | 'keepStrays'
  | 'records'
  | 'deadLetters'
  | 'reports'
  | 'boards'
  | 'parseCsv'
  | 'reserve'
  | 'now'
>

/**
 * @param only names of the datasets that may be used; null: every one.
 * @example
 * const mine = scopedTo(tm, { kind: 'one', tenant: 'acme' })
 * await mine.queryUnknown('metrics.requests', { from: '-1 day', select: { n: { fn: 'count' } } })
 *
 * @throws TidemarkError TM_FORBIDDEN, each call that names another dataset.
 */
export function scopedTo(
  tm: Tidemark,
  scope: TenantScope,
  only: ReadonlySet<string> | null = null,
): ScopedTidemark {
  const allowed = only === null ? null : namesOf(tm, only)
  const isOurs = ({ name }: { readonly name: string }): boolean => allowed === null || allowed.has(name)
  const ours = (name: string): string => {
    if (isOurs({ name })) return name
    throw new TidemarkError('TM_FORBIDDEN', {
      what: `the dataset "${name}" is not among those of this key or token (${[...(only ?? [])].join(', ')})`,
      todo: 'use one of them, or a key without that restriction',
    })
  }
  return {
    scope,
    config: tm.config,
    datasets: tm.datasets.filter(isOurs),
    aggregates: tm.aggregates.filter(isOurs),
    dataset: (name) => tm.dataset(ours(name)),
    queryable: (name) => tm.queryable(ours(name)),
    queryUnknown: async (name, query, options) => tm.queryUnknown(ours(name), query, { ...options, scope }),
    sqlOf: (name, query) => tm.sqlOf(ours(name), query, { scope }),
    productUnknown: async (kind, name, input, options) =>
      tm.productUnknown(kind, ours(name), input, { ...options, scope }),
    ingestUnknown: async (name, rows, options) => tm.ingestUnknown(ours(name), rows, { ...options, scope }),
    insertUnknown: async (name, rows, options) => tm.insertUnknown(ours(name), rows, { ...options, scope }),
    upsertUnknown: async (name, rows, options) => tm.upsertUnknown(ours(name), rows, { ...options, scope }),
    updateUnknown: async (name, change, options) =>
      tm.updateUnknown(ours(name), change, { ...options, scope }),
    deleteUnknown: async (name, selection, options) =>
      tm.deleteUnknown(ours(name), selection, { ...options, scope }),
    records: (name) => tm.records(ours(name), { scope }),
    keepStrays: (source, letters) => tm.keepStrays(source, letters, { scope }),
    deadLetters: tm.deadLettersOf(scope, allowed === null ? null : [...allowed]),
    reports: tm.reportsOf(scope, (name) => isOurs({ name })),
    boards: tm.boardsOf(scope, (name) => isOurs({ name })),
    parseCsv: (definition, text) => tm.parseCsv(definition, text),
    reserve: (bytes, signal) => withholdOthers(scope, tm.reserve(bytes, signal)),
    now: () => tm.now(),
  }
}

/** `models` is `public.models`: whichever of the two is allowed, and whichever is asked for. */
function namesOf(
  { datasets, aggregates }: Pick<Tidemark, 'datasets' | 'aggregates'>,
  only: ReadonlySet<string>,
): ReadonlySet<string> {
  const names = new Set(only)
  for (const { name, schema, table } of [...datasets, ...aggregates]) {
    const both = schema === 'public' ? [name, table] : [name]
    if (both.some((form) => only.has(form))) for (const form of both) names.add(form)
  }
  return names
}
