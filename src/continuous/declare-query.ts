import {
  type AggregateQueryNode,
  canonicalFilter,
  type FilterNode,
  filterRefs,
  filterToJson,
  type GroupNode,
  type Materialization,
  parseQuery,
  refText,
  stateRequestKey,
  stateRequests,
} from '../query/index.ts'
import {
  type AggregateCall,
  columnNameProblem,
  type JsonValue,
  maxNameBytes,
  type ProblemList,
  suggest,
} from '../schema/index.ts'
import type { Clock, Instant } from '../time/index.ts'
import { attempt } from './attempt.ts'
import type { Source } from './declare-source.ts'

/** The parts of a declaration that are parts of a query: keys, filter, aggregates. Each is read alone, so that all problems are found. */

/** Two moments: what they make differ is relative to a clock. */
const moments: readonly [Instant, Instant] = [1_000_000_000_000_000n, 1_500_000_000_123_456n]

function parsePart(source: Source, part: object, now: Instant = moments[0]): AggregateQueryNode {
  const clock: Clock = { now: () => now }
  return parseQuery(
    { select: { rows: { fn: 'count' } }, ...part },
    { dataset: source.base, clock },
  ) as AggregateQueryNode
}

/** The names of `by`; the tenant is not in them. */
export function readKeys(problems: ProblemList, input: unknown, source: Source): readonly string[] {
  if (!Array.isArray(input)) {
    problems.add('.by', 'must be a list of columns and JSON paths')
    return []
  }
  const { base, parent } = source
  const groups: GroupNode[] = []
  input.forEach((name: unknown, i) => {
    const path = `.by[${i}]`
    const found = attempt(
      problems,
      () => path,
      () => parsePart(source, { by: [name] }).by[0],
    )
    if (!found) return
    const place = refText(found.ref)
    if (found.ref.path.length === 0 && found.ref.column === base.tenant)
      problems.add(
        path,
        `"${found.name}" is the tenant, which is the first key of every aggregate; leave it out`,
      )
    else if (found.ref.path.length === 0 && found.ref.column === base.time)
      problems.add(path, `"${found.name}" is the time, which the bucket stands for`)
    else if (groups.some(({ ref }) => refText(ref) === place))
      problems.add(path, `"${found.name}" is there twice`)
    else if (
      parent !== null &&
      !parent.keys.some(({ name, ref }) => name === found.name && refText(ref) === place)
    )
      problems.add(
        path,
        `"${found.name}" is no key of ${parent.definition.name}${suggest(found.name, keyNames(parent))}`,
      )
    else groups.push(found)
    if (Buffer.byteLength(found.name) > maxNameBytes)
      problems.add(
        path,
        `"${found.name}" has over ${maxNameBytes} bytes, the longest name of a column in PostgreSQL`,
      )
  })
  return Object.freeze(groups.map(({ name }) => name))
}

function keyNames({ keys }: Materialization): readonly string[] {
  return keys.map(({ name }) => name)
}

/** `where` of the declaration and of all that it stands on, in canonical JSON. */
export function readWhere(problems: ProblemList, input: unknown, source: Source): JsonValue | null {
  const { base, parent } = source
  const own = input == null ? null : readFilter(problems, '.where', input, source)
  if (own !== null && parent !== null)
    for (const ref of filterRefs(own)) {
      const name = refText(ref)
      if (ref.path.length > 0)
        problems.add('.where', `"${name}" is kept as text in ${parent.definition.name}; filter by it there`)
      else if (!parent.keys.some((key) => key.ref.path.length === 0 && key.ref.column === ref.column))
        problems.add(
          '.where',
          `"${name}" is no key of ${parent.definition.name}, which does not keep it${suggest(name, keyNames(parent))}`,
        )
    }
  const below = parent?.where ?? null
  if (own === null) return parent?.definition.where ?? null
  return freeze(filterToJson(base, below === null ? own : { kind: 'and', filters: [below, own] }))
}

/** Null when there is none, or when it is refused. */
function readFilter(problems: ProblemList, path: string, where: unknown, source: Source): FilterNode | null {
  const [first, second] = moments.map((now) =>
    // the same problem twice is one
    now === moments[0]
      ? attempt(
          problems,
          (inner) => `${path}${inner.slice('where'.length)}`,
          () => parsePart(source, { where }, now).where,
        )
      : quietly(() => parsePart(source, { where }, now).where),
  )
  if (canonicalFilter(first ?? null) !== canonicalFilter(second ?? null)) {
    problems.add(
      path,
      'holds a time that is relative to now, so that a cell would mean something else tomorrow; write an instant',
    )
    return null
  }
  return first ?? null
}

function quietly<T>(read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}

/** Aggregates by the name of the output, in canonical JSON. Over an aggregate, a text names one of its outputs. */
export function readSelect(
  problems: ProblemList,
  input: unknown,
  source: Source,
): Readonly<Record<string, AggregateCall>> {
  const select: Record<string, AggregateCall> = {}
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    problems.add('.select', 'must be a set of aggregates such as { requests: count() }')
    return select
  }
  const entries = Object.entries(input).filter(([, call]) => call !== undefined)
  if (entries.length === 0) problems.add('.select', 'it is empty; keep at least one aggregate')
  for (const [name, call] of entries) {
    const path = `.select.${name}`
    const nameProblem = columnNameProblem(name)
    if (nameProblem !== null) {
      problems.add(path, nameProblem)
      continue
    }
    const found =
      typeof call === 'string'
        ? namedOutput(problems, path, call, source)
        : readCall(problems, path, name, call, source)
    if (found !== null) select[name] = found
  }
  return Object.freeze(select)
}

function namedOutput(
  problems: ProblemList,
  path: string,
  output: string,
  { base, parent }: Source,
): AggregateCall | null {
  const known = parent?.definition.select ?? {}
  const call = Object.hasOwn(known, output) ? known[output] : undefined
  if (call !== undefined) return call
  problems.add(
    path,
    parent === null
      ? `${JSON.stringify(output)} is not an aggregate; ${base.name} is a hypertable, whose rows are aggregated: { fn, column }`
      : `${parent.definition.name} has no output "${output}"${suggest(output, Object.keys(known))}`,
  )
  return null
}

function readCall(
  problems: ProblemList,
  path: string,
  name: string,
  call: unknown,
  source: Source,
): AggregateCall | null {
  const { base, parent } = source
  const prefix = `select.${name}`
  const node = attempt(
    problems,
    (inner) => (inner.startsWith(prefix) ? `.${inner}` : path),
    () => parsePart(source, { select: { [name]: call } }),
  )
  if (node === null) return null
  const where = (call as { readonly where?: unknown }).where
  const filter = where == null ? null : readFilter(problems, `${path}.where`, where, source)
  const [state] = stateRequests(node)
  if (parent !== null && state !== undefined) {
    const key = stateRequestKey(state)
    if (!parent.states.some((kept) => stateRequestKey(kept) === key))
      problems.add(
        path,
        `${parent.definition.name} does not keep what it is made of; it has ${Object.keys(parent.definition.select).join(', ')}`,
      )
  }
  const { where: _, ...rest } = call as Record<string, unknown>
  const kept = { ...rest, ...(filter === null ? {} : { where: filterToJson(base, filter) }) }
  return freeze(JSON.parse(JSON.stringify(kept)) as AggregateCall)
}

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const inner of Object.values(value)) freeze(inner)
  return Object.freeze(value)
}
