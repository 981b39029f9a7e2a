import {
  type AggregateDeclaration,
  type AggregateSource,
  type CheckedDeclaration,
  materializationOf,
  type ShapeOfDeclaration,
} from '../query/index.ts'
import {
  type ContinuousAggregate,
  type ContinuousAggregateDefinition,
  checkKeys,
  type ProblemList,
  type QualifiedNameOf,
  readComment,
  readName,
  startProblems,
} from '../schema/index.ts'
import {
  approximateMicros,
  assertBucketSpec,
  type BucketSpec,
  boundMicros,
  bucketMisfit,
  type Interval,
  parseInterval,
  TimeProblem,
} from '../time/index.ts'
import { attempt } from './attempt.ts'
import { readDimensions } from './declare-dimensions.ts'
import { readKeys, readSelect, readWhere } from './declare-query.ts'
import { readSource, type Source } from './declare-source.ts'
import { lateProblem } from './late-takes.ts'

const optionNames = [
  'from',
  'bucket',
  'by',
  'dimensions',
  'where',
  'select',
  'refresh',
  'retain',
  'comment',
] as const

/** What holds where a declaration says nothing. */
export const aggregateDefaults = Object.freeze({ refresh: Object.freeze({ every: '1 minute' }) })

const secondMicros = 1_000_000n

/**
 * Declares a continuous aggregate: a query over a hypertable, or over another aggregate, that is kept as partial states per time
 * bucket. A query is answered from it where it is valid and from the rows where it is not, so an answer is right at any moment;
 * docs/guide/continuous-aggregates.md.
 *
 * @example
 * import { continuousAggregate, count, percentile, uniques } from 'tidemark'
 * const hourly = continuousAggregate('aggregates.hourly_requests', {
 *   from: requests, bucket: '1 hour', by: ['model'],
 *   select: { requests: count(), p95: percentile('latency_ms', 0.95), users: uniques('user_id') },
 * })
 * const daily = continuousAggregate('aggregates.daily_requests', {
 *   from: hourly, bucket: { every: '1 day', zone: 'Europe/Berlin' }, by: ['model'], select: { requests: 'requests', p95: 'p95' },
 * })
 *
 * @throws TidemarkError TM_DECLARATION that lists everything that is wrong, each with its path.
 */
export function continuousAggregate<
  const Name extends string,
  const From extends AggregateSource,
  const O extends AggregateDeclaration<From>,
>(
  name: Name,
  options: { readonly from: From } & O & CheckedDeclaration<From, O>,
): ContinuousAggregate<QualifiedNameOf<Name>, ShapeOfDeclaration<From, O>> {
  return declare(name, options) as ContinuousAggregate<QualifiedNameOf<Name>, ShapeOfDeclaration<From, O>>
}

function declare(name: unknown, options: unknown): ContinuousAggregateDefinition {
  const problems = startProblems('continuousAggregate', name)
  if (!checkKeys(problems, '', options, optionNames)) problems.assertEmpty('TM_DECLARATION')
  const input = options as Readonly<Record<string, unknown>>
  const qualified = readName(problems, name)
  const bucket = readBucket(problems, input['bucket'])
  const refresh = readRefresh(problems, input['refresh'] ?? aggregateDefaults.refresh)
  const retain = input['retain'] == null ? null : readInterval(problems, '.retain', input['retain'])
  const comment = readComment(problems, '.comment', input['comment'])
  const source = readSource(problems, input['from'])
  // the rest has a meaning only together with what it is about
  if (source === null) problems.assertEmpty('TM_DECLARATION')
  const { base, parent } = source as Source
  if (bucket !== null) checkLengths(problems, bucket, retain, source as Source)
  const by = readKeys(problems, input['by'] ?? [], source as Source)
  const where = readWhere(problems, input['where'], source as Source)
  const select = readSelect(problems, input['select'], source as Source)
  const dimensions = readDimensions(problems, input['dimensions'] ?? {}, source as Source, by)
  checkNames(problems, [
    ['bucket', ['bucket']],
    ['tenant', base.tenant === null ? [] : [base.tenant]],
    ['by', by],
    ['dimensions', Object.keys(dimensions)],
    ['select', Object.keys(select)],
  ])
  problems.assertEmpty('TM_DECLARATION')
  const definition: ContinuousAggregateDefinition = Object.freeze({
    kind: 'aggregate',
    ...qualified,
    from: parent?.definition ?? base,
    base,
    bucket: bucket as BucketSpec,
    by,
    dimensions,
    where,
    select,
    refresh: Object.freeze({ every: refresh as Interval }),
    retain,
    comment,
  })
  // what holds only for all of it together: the limits of a query
  attempt(
    problems,
    (path) => (path === '' ? '' : `.${path}`),
    () => materializationOf(definition),
  )
  problems.assertEmpty('TM_DECLARATION')
  const late = lateProblem(definition)
  if (late !== null) problems.add(`.select.${late.output}`, late.problem)
  problems.assertEmpty('TM_DECLARATION')
  return definition
}

function placed<T>(problems: ProblemList, path: string, read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof TimeProblem)) throw error
    problems.add(path, error.problem)
    return null
  }
}

function readInterval(problems: ProblemList, path: string, input: unknown): Interval | null {
  return placed(problems, path, () => parseInterval(input as string))
}

/** `'1 hour'`, or `{ every: '1 day', zone: 'Europe/Berlin' }`. */
function readBucket(problems: ProblemList, input: unknown): BucketSpec | null {
  const isLength = typeof input === 'string' || input === undefined
  const parts: unknown = isLength ? { every: input } : input
  if (!checkKeys(problems, '.bucket', parts, ['every', 'zone'])) return null
  const every = readInterval(problems, isLength ? '.bucket' : '.bucket.every', parts['every'])
  if (every === null) return null
  if (approximateMicros(every) < secondMicros)
    problems.add('.bucket', `'${every.text}' is shorter than a second`)
  const spec: BucketSpec = Object.freeze({ every, zone: (parts['zone'] ?? null) as string | null })
  return placed(problems, '.bucket.zone', () => assertBucketSpec(spec)) === null ? null : spec
}

function readRefresh(problems: ProblemList, input: unknown): Interval | null {
  if (!checkKeys(problems, '.refresh', input, ['every'])) return null
  const every = readInterval(problems, '.refresh.every', input['every'])
  if (every === null) return null
  if (every.kind === 'fixed' && every.micros >= secondMicros) return every
  problems.add('.refresh.every', `'${every.text}' is not a fixed length of at least a second`)
  return null
}

function checkLengths(
  problems: ProblemList,
  bucket: BucketSpec,
  retain: Interval | null,
  { base, parent }: Source,
): void {
  const { text } = bucket.every
  if (retain !== null && approximateMicros(retain) < boundMicros(bucket.every).most)
    problems.add(
      '.retain',
      `'${retain.text}' is shorter than a bucket ('${text}'), so that no cell would stay`,
    )
  if (base.retain !== null && boundMicros(bucket.every).most > approximateMicros(base.retain))
    problems.add(
      '.bucket',
      `'${text}' is longer than the rows of ${base.name} stay ('${base.retain.text}'), so that no bucket would ever be whole`,
    )
  const misfit =
    parent && bucketMisfit(parent.definition.bucket, bucket, `${parent.definition.name}'s bucket`)
  if (misfit !== null) problems.add('.bucket', misfit)
}

/** The view has one column for each name. */
function checkNames(problems: ProblemList, groups: readonly (readonly [string, readonly string[]])[]): void {
  const seen = new Map<string, string>()
  for (const [group, names] of groups)
    for (const [i, name] of names.entries()) {
      const other = seen.get(name)
      if (other === undefined) seen.set(name, group)
      else
        problems.add(
          group === 'by' ? `.by[${i}]` : `.${group}.${name}`,
          other === 'bucket'
            ? '"bucket" is the name of the time bucket; choose another'
            : `"${name}" is already a name in ${other === 'tenant' ? 'use by the tenant' : other}`,
        )
    }
}
