import type { DatasetChange } from '../feed/index.ts'
import type { TenantScope } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import type { Tag, TagChange } from './contract.ts'

const maxRanges = 64

/** Any change at all of a dataset. */
const whole = (dataset: string): Tag => `d:${encodeURIComponent(dataset)}`
/** Changes that are of no one tenant: of all, or the table has none. */
const common = (dataset: string): Tag => `${whole(dataset)}:*`
const ofTenant = (dataset: string, tenant: string): Tag => `${whole(dataset)}:=${encodeURIComponent(tenant)}`

/** What an answer with these rows is made of. One tenant's hangs on his changes, and on those that are nobody's. */
export function tagsOf(datasets: readonly string[], scope: TenantScope): Tag[] {
  const names = [...new Set(datasets)].sort()
  return scope.kind === 'one'
    ? names.flatMap((name) => [common(name), ofTenant(name, scope.tenant)])
    : names.map(whole)
}

/** Of something that the change log does not know: a session, a saved question. */
export function nameTag(name: string): Tag {
  return `n:${encodeURIComponent(name)}`
}

export function tagsChanged(changes: readonly DatasetChange[]): TagChange[] {
  return changes.flatMap(({ dataset, tenant, range }) => {
    const ranges = range === null ? null : [range]
    return [
      { tag: whole(dataset), ranges },
      { tag: tenant === null ? common(dataset) : ofTenant(dataset, tenant), ranges },
    ]
  })
}

/** One change for each tag: of a batch all ranges together. */
export function joinChanges(changes: readonly TagChange[]): TagChange[] {
  const joined = new Map<Tag, TagChange>()
  for (const change of changes) {
    const before = joined.get(change.tag)
    joined.set(change.tag, {
      tag: change.tag,
      ranges:
        before === undefined
          ? change.ranges
          : before.ranges === null || change.ranges === null
            ? null
            : fewRanges([...before.ranges, ...change.ranges]),
    })
  }
  return [...joined.values()]
}

/** What waits to be told may wait long: of many stretches one that reaches from the first to the last. */
function fewRanges(ranges: readonly TimeRange[]): readonly TimeRange[] {
  if (ranges.length <= maxRanges) return ranges
  const first = ranges.reduce((least, { from }) => (from < least ? from : least), ranges[0]!.from)
  const last = ranges.reduce((most, { to }) => (to > most ? to : most), ranges[0]!.to)
  return [{ from: first, to: last }]
}
