import { type AnyColumn, t } from './column.ts'
import { hypertable } from './hypertable.ts'
import type { Columns, Hypertable, QualifiedNameOf } from './infer.ts'
import { startProblems } from './relation.ts'

/** What can be said of a table that a protocol fills; see `hypertable`. */
export interface ProtocolTableOptions<Tenant extends string = string> {
  /**
   * Adds a text column of this name, whose rows are their tenant's alone. A key of a tenant writes his own; of others' senders the tag or
   * label of that name says whose a point is.
   */
  readonly tenant?: Tenant
  readonly chunk?: string
  readonly freeze?: { readonly after: string }
  readonly retain?: string
  readonly comment?: string
}

type ProtocolTable<Name extends string, C extends Columns, Tenant extends string> = Hypertable<
  QualifiedNameOf<Name>,
  C & Readonly<Record<Tenant, TextColumn>>,
  'time',
  never,
  Tenant
>

type TextColumn = ReturnType<typeof t.text>

/** @param by what is looked for beside the series */
function protocolTable<Name extends string, C extends Columns, Tenant extends string>(
  name: Name,
  columns: C,
  by: string,
  { tenant, ...options }: ProtocolTableOptions<Tenant>,
): ProtocolTable<Name, C, Tenant> {
  const problems = startProblems('hypertable', name)
  if (tenant !== undefined && Object.hasOwn(columns, tenant))
    problems.add(
      '.tenant',
      `"${tenant}" is another column of this table; give the tenant's a name of its own`,
    )
  problems.assertEmpty('TM_DECLARATION')
  const { time, ...others } = columns as C & { readonly time: AnyColumn }
  const all: Columns =
    tenant === undefined ? columns : ({ time, [tenant as string]: t.text(), ...others } as Columns)
  // whoever asks asks for one tenant, whose series have the names of others'
  const first = tenant === undefined ? [] : [tenant as string]
  return hypertable(name, {
    columns: all,
    time: 'time',
    orderBy: ['series', 'time'],
    indexes: [
      [...first, 'series', '-time'],
      [...first, by, '-time'],
    ],
    ...(tenant === undefined ? {} : { tenant: tenant as string }),
    ...options,
  } as never) as never
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
export function metricsTable<const Name extends string, const Tenant extends string = never>(
  name: Name,
  options: ProtocolTableOptions<Tenant> = {},
): ProtocolTable<Name, typeof metricsColumns, Tenant> {
  return protocolTable(name, metricsColumns, 'measurement', options)
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
 * const samples = samplesTable('metrics.samples', { tenant: 'tenant' })
 * export default defineConfig({ datasets: [samples], ingest: { prometheus: { into: samples } } })
 * @throws TidemarkError TM_DECLARATION
 */
export function samplesTable<const Name extends string, const Tenant extends string = never>(
  name: Name,
  options: ProtocolTableOptions<Tenant> = {},
): ProtocolTable<Name, typeof samplesColumns, Tenant> {
  return protocolTable(name, samplesColumns, 'metric', options)
}
