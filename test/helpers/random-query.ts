import fc from 'fast-check'
import type { DatasetDefinition } from '../../src/schema/index.ts'
import { jsonAt, type NaiveRow, normalRow } from './naive-values.ts'

export interface RandomQueryOptions {
  readonly dataset: DatasetDefinition
  /** Values of filters and ranges are taken from here, so that they match something. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** Paths inside of jsonb columns, such as `properties.plan`. */
  readonly paths?: readonly string[]
}

type Input = Record<string, unknown>

const groupable = new Set(['text', 'uuid', 'bool', 'int2', 'int4', 'int8', 'float8', 'numeric', 'date'])
const numeric = new Set(['int2', 'int4', 'int8', 'float4', 'float8', 'numeric'])

/**
 * Random query inputs of all three kinds that parseQuery takes. `having` asks only for exact outputs, since an
 * approximate one may be kept here and dropped by the oracle.
 */
export function queryArbitrary(options: RandomQueryOptions): fc.Arbitrary<Input> {
  const { dataset } = options
  const rows = options.rows.map((row) => normalRow(dataset, row))
  const where = filterArbitrary(options, rows)
  const isTimed = dataset.kind === 'hypertable'
  const range = isTimed ? rangeArbitrary(dataset.time, rows) : fc.constant({})
  const kinds: fc.WeightedArbitrary<Input>[] = [
    { weight: 6, arbitrary: aggregateArbitrary(options, where, range) },
    { weight: 2, arbitrary: rowsArbitrary(dataset, where, range) },
  ]
  if (isTimed) kinds.push({ weight: 2, arbitrary: latestArbitrary(dataset, where, range) })
  return fc.oneof(...kinds)
}

const optional = <T>(arbitrary: fc.Arbitrary<T>, freq = 2): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq })

function withoutUndefined(input: Input): Input {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined))
}

function rangeArbitrary(time: string, rows: readonly NaiveRow[]): fc.Arbitrary<Input> {
  if (rows.length === 0) return fc.constant({})
  const instant = fc
    .tuple(
      fc.constantFrom(...rows.map((row) => row[time] as bigint)),
      fc.constantFrom(0n, 1n, -1n, 3_600_000_000n),
    )
    .map(([base, shift]) => base + shift)
  return fc.oneof(
    fc.constant({}),
    instant.map((from) => ({ from })),
    instant.map((to) => ({ to })),
    fc.tuple(instant, instant).map(([a, b]) => (a < b ? { from: a, to: b } : { from: b, to: a + 1n })),
  )
}

/** Conditions on one column or path, with values that are there. */
function conditionArbitraries(options: RandomQueryOptions, rows: readonly NaiveRow[]): fc.Arbitrary<Input>[] {
  const conditions: fc.Arbitrary<Input>[] = []
  for (const [name, { type }] of Object.entries(options.dataset.columns)) {
    const nulls = fc.constantFrom(null, { not: null }, { ne: null })
    const present = rows.map((row) => row[name]).filter((value) => value !== null)
    if (type === 'jsonb' || present.length === 0) {
      conditions.push(nulls.map((condition) => ({ [name]: condition })))
      continue
    }
    if (type === 'text[]') {
      const items = present.flatMap((value) => value as (string | null)[]).filter((item) => item !== null)
      const item = fc.constantFrom('absent', ...items)
      conditions.push(
        fc
          .oneof(
            nulls,
            item.map((contains) => ({ contains })),
          )
          .map((c) => ({ [name]: c })),
      )
      continue
    }
    const value = fc.constantFrom(...present)
    conditions.push(fc.oneof(nulls, ...comparisons(value, type === 'text')).map((c) => ({ [name]: c })))
  }
  for (const path of options.paths ?? []) {
    const [column = '', ...inner] = path.split('.')
    const present = rows
      .map((row) => jsonAt(row[column], inner))
      .filter((value) => ['string', 'number', 'boolean'].includes(typeof value))
    const value = fc.constantFrom<unknown>('absent', 7, true, ...present)
    conditions.push(
      fc.oneof(fc.constantFrom(null, { not: null }), ...comparisons(value, true)).map((c) => ({ [path]: c })),
    )
  }
  return conditions
}

function comparisons(value: fc.Arbitrary<unknown>, isText: boolean): fc.Arbitrary<unknown>[] {
  const list = fc.array(value, { maxLength: 4 })
  const some: fc.Arbitrary<unknown>[] = [
    value,
    value.map((eq) => ({ eq })),
    value.map((ne) => ({ ne })),
    fc.tuple(value, value).map(([gte, lt]) => ({ gte, lt })),
    value.map((gt) => ({ gt })),
    value.map((lte) => ({ lte })),
    list.map((values) => ({ in: values })),
    list.map((values) => ({ notIn: values })),
    value.map((eq) => ({ not: { eq } })),
  ]
  if (isText) some.push(patternArbitrary(value).map((like) => ({ like })))
  return some
}

function patternArbitrary(value: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  return fc.tuple(value, fc.constantFrom('prefix', 'suffix', 'middle', 'one')).map(([item, kind]) => {
    const characters = [...String(item)]
    const quoted = (part: readonly string[]): string =>
      part.map((c) => (/[%_\\]/.test(c) ? `\\${c}` : c)).join('')
    if (kind === 'prefix') return `${quoted(characters.slice(0, 2))}%`
    if (kind === 'suffix') return `%${quoted(characters.slice(-2))}`
    if (kind === 'middle') return `%${quoted(characters.slice(1, 2))}%`
    return `_${quoted(characters.slice(1))}`
  })
}

function filterArbitrary(options: RandomQueryOptions, rows: readonly NaiveRow[]): fc.Arbitrary<Input> {
  const leaf = fc.oneof(...conditionArbitraries(options, rows))
  const { filter } = fc.letrec<{ filter: Input }>((tie) => ({
    filter: fc.oneof(
      { maxDepth: 2, depthSize: 'small' },
      leaf,
      fc.tuple(leaf, leaf).map(([a, b]) => ({ ...a, ...b })),
      fc.array(tie('filter'), { minLength: 1, maxLength: 3 }).map(($or) => ({ $or })),
      fc.array(tie('filter'), { minLength: 1, maxLength: 2 }).map(($and) => ({ $and })),
      tie('filter').map(($not) => ({ $not })),
    ),
  }))
  return filter
}

function aggregateInput(options: RandomQueryOptions, where: fc.Arbitrary<Input>): fc.Arbitrary<Input> {
  const { dataset } = options
  const isTimed = dataset.kind === 'hypertable'
  const functions: fc.Arbitrary<Input>[] = [fc.constant({ fn: 'count' })]
  // of these a value has one form
  const listed = new Set(['text', 'bool', 'int2', 'int4', 'timestamptz', undefined])
  const isListed = (column: string): boolean => listed.has(dataset.columns[column]?.type)
  const add = (column: string, isNumber: boolean, isOrdered: boolean): void => {
    const names = ['count']
    if (isOrdered) names.push('min', 'max', 'countDistinct', 'uniques', ...(isTimed ? ['first', 'last'] : []))
    if (isNumber) names.push('sum', 'avg', 'stddev', 'variance')
    functions.push(fc.constantFrom(...names).map((fn) => ({ fn, column })))
    if (isOrdered && isListed(column))
      functions.push(fc.constantFrom(1, 3).map((k) => ({ fn: 'topK', column, k })))
    if (!isNumber) return
    if (isTimed) functions.push(timelineInput(options, column))
    functions.push(fc.constantFrom(0, 0.05, 0.5, 0.95, 1).map((q) => ({ fn: 'percentile', column, q })))
    functions.push(
      fc
        .constantFrom(undefined, [0.5], [1, 0, 0.95])
        .map((qs) => withoutUndefined({ fn: 'percentiles', column, qs })),
    )
    functions.push(
      fc.constantFrom([0], [-10, 0, 10.5], [1e9]).map((borders) => ({ fn: 'histogram', column, borders })),
    )
  }
  for (const [name, { type }] of Object.entries(dataset.columns))
    if (type !== 'jsonb') add(name, numeric.has(type), type !== 'text[]')
  for (const path of options.paths ?? []) add(path, true, true)
  return fc
    .tuple(fc.oneof(...functions), optional(where, 4))
    .map(([input, filter]) => (filter ? { ...input, where: filter } : input))
}

function timelineInput({ dataset }: RandomQueryOptions, column: string): fc.Arbitrary<Input> {
  const names = Object.keys(dataset.columns).filter((name) => groupable.has(dataset.columns[name]!.type))
  return fc
    .record({
      function: fc.constantFrom<Input>(
        { fn: 'increase' },
        { fn: 'rate' },
        { fn: 'delta' },
        { fn: 'timeWeightedAvg' },
        { fn: 'timeWeightedAvg', method: 'linear' },
      ),
      series: optional(fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 })),
    })
    .map(({ function: chosen, series }) => withoutUndefined({ ...chosen, column, series }))
}

const buckets = [
  '15 minutes',
  '1 hour',
  '6 hours',
  '1 day',
  '2 days',
  '1 week',
  '1 month',
  '7 hours',
] as const
const zonedBuckets = ['15 minutes', '1 hour', '6 hours', '1 day', '1 week', '1 month', '3 months'] as const
const zones = ['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'UTC'] as const

function bucketArbitrary(dataset: DatasetDefinition): fc.Arbitrary<Input> {
  if (dataset.kind !== 'hypertable') return fc.constant({})
  return fc.oneof(
    fc.constant({}),
    fc.constantFrom(...buckets).map((bucket) => ({ bucket })),
    fc
      .tuple(fc.constantFrom(...zonedBuckets), fc.constantFrom(...zones))
      .map(([bucket, zone]) => ({ bucket, zone })),
  )
}

function aggregateArbitrary(
  options: RandomQueryOptions,
  where: fc.Arbitrary<Input>,
  range: fc.Arbitrary<Input>,
): fc.Arbitrary<Input> {
  const { dataset } = options
  const names = Object.entries(dataset.columns).filter(([, { type }]) => groupable.has(type))
  const groups = [...names.map(([name]) => name), ...(options.paths ?? [])]
  const aggregates = fc.array(aggregateInput(options, where), { maxLength: 4 })
  return fc
    .record({
      range,
      bucket: bucketArbitrary(dataset),
      by: fc.uniqueArray(fc.constantFrom(...groups), { maxLength: 2 }),
      where: optional(where),
      aggregates,
      having: optional(fc.constantFrom({ gte: 2 }, { lt: 5 }, { in: [1, 3] }), 3),
      order: fc.array(fc.tuple(fc.nat(9), fc.boolean()), { maxLength: 2 }),
      limit: optional(fc.integer({ min: 1, max: 12 })),
      fill: fc.constantFrom(undefined, undefined, 'null', 'previous', 'linear', { constant: 3 }),
    })
    .map((parts): Input => {
      const select: Input = { n: { fn: 'count' } }
      for (const [i, aggregate] of parts.aggregates.entries()) select[`a${i}`] = aggregate
      const outputs = [
        ...(parts.bucket['bucket'] ? ['bucket'] : []),
        ...parts.by,
        ...Object.keys(select).filter(
          (name) => !['histogram', 'percentiles', 'topK'].includes((select[name] as Input)['fn'] as string),
        ),
      ]
      const order = [...new Set(parts.order.map(([i]) => outputs[i % outputs.length] as string))]
      return withoutUndefined({
        ...parts.range,
        ...parts.bucket,
        by: parts.by.length > 0 ? parts.by : undefined,
        where: parts.where,
        select,
        having: parts.having ? { n: parts.having } : undefined,
        order:
          order.length > 0 ? order.map((name, i) => (parts.order[i]?.[1] ? `-${name}` : name)) : undefined,
        limit: parts.limit,
        fill: parts.bucket['bucket'] && canFill(parts.fill, options, select) ? parts.fill : undefined,
      })
    })
}

/** `linear` and a constant want numbers in every output. */
function canFill(fill: unknown, { dataset, paths }: RandomQueryOptions, select: Input): boolean {
  if (fill === undefined) return false
  if (fill === 'null' || fill === 'previous') return true
  return Object.values(select).every((aggregate) => {
    const { fn, column } = aggregate as { fn: string; column?: string }
    if (fn === 'histogram' || fn === 'percentiles' || fn === 'topK') return false
    if (!['min', 'max', 'first', 'last'].includes(fn)) return true
    if (column !== undefined && paths?.includes(column)) return fn === 'min' || fn === 'max'
    return numeric.has(dataset.columns[column as string]?.type ?? '')
  })
}

function columnsArbitrary(dataset: DatasetDefinition): fc.Arbitrary<readonly string[] | undefined> {
  return optional(
    fc.uniqueArray(fc.constantFrom(...Object.keys(dataset.columns)), { minLength: 1, maxLength: 4 }),
  )
}

function rowsArbitrary(
  dataset: DatasetDefinition,
  where: fc.Arbitrary<Input>,
  range: fc.Arbitrary<Input>,
): fc.Arbitrary<Input> {
  return fc
    .record({
      range,
      where: optional(where),
      columns: columnsArbitrary(dataset),
      direction: fc.constantFrom(undefined, 'asc', 'desc'),
      limit: optional(fc.integer({ min: 1, max: 40 })),
    })
    .map(({ range, ...rest }) => withoutUndefined({ ...range, ...rest }))
}

function latestArbitrary(
  dataset: DatasetDefinition,
  where: fc.Arbitrary<Input>,
  range: fc.Arbitrary<Input>,
): fc.Arbitrary<Input> {
  const names = Object.entries(dataset.columns).filter(([, { type }]) => groupable.has(type))
  return fc
    .record({
      range,
      where: optional(where),
      columns: columnsArbitrary(dataset),
      latestBy: fc.uniqueArray(fc.constantFrom(...names.map(([name]) => name)), { maxLength: 2 }),
    })
    .map(({ range, ...rest }) => withoutUndefined({ ...range, ...rest }))
}
