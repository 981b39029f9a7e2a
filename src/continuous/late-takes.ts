import { states as algebra } from '../aggregate/index.ts'
import { type Materialization, materializationOf } from '../query/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { type Instant, minusInfinityInstant, type TimeRange } from '../time/index.ts'
import { subtract, widen } from './invalid-ranges.ts'
import { keptFrom } from './refresh-work.ts'
import { unionOf, type VersionValidity } from './validity.ts'
import type { AggregateVersion } from './version.ts'

/**
 * Whole buckets into whose cells late rows are merged: those that a dropped chunk touches, as far as they are kept and something of
 * them is known. Where nothing is known, a cell of late rows alone would pass for the whole. Ascending, united.
 */
export function takesOf(
  version: AggregateVersion,
  { startOver }: Pick<VersionValidity, 'startOver'>,
  dropped: readonly TimeRange[],
  now: Instant,
): readonly TimeRange[] {
  // it has not begun: what it then says of this time is that it does not know
  if (startOver === 'new' || startOver === 'not-registered') return []
  const { bucket, definition } = version.materialization
  const kept = keptFrom(definition, now)
  const known = knownFrom(version)
  const since = [kept, known, version.expiredBefore ?? minusInfinityInstant].reduce((a, b) => (a > b ? a : b))
  const frozen = unionOf(dropped.map((range) => ({ range: widen(bucket, range) })))
  return since === minusInfinityInstant
    ? frozen
    : subtract(frozen, [{ from: minusInfinityInstant, to: since }])
}

/** Before this, no state is known. */
function knownFrom({ materialization: { states }, unknownBefore }: AggregateVersion): Instant {
  if (unknownBefore.size < states.length) return minusInfinityInstant
  return [...unknownBefore.values()].reduce((least, at) => (at < least ? at : least))
}

/**
 * What a late row cannot be merged into: an output whose state depends on the order of rows. Null: there is none, or late rows are refused.
 */
export function lateProblem(
  definition: ContinuousAggregateDefinition,
): { readonly output: string; readonly problem: string } | null {
  if (definition.base.late !== 'merge') return null
  const output = orderedOutput(materializationOf(definition))
  return output === null
    ? null
    : {
        output,
        problem: `depends on the order of rows, and ${definition.base.name} merges late ones (late: 'merge') whose neighbours are gone`,
      }
}

/** Name of an output whose state depends on the order of rows. */
export function orderedOutput({ outputs, states }: Materialization): string | null {
  const found = outputs.find(({ state }) => {
    const request = states[state]
    return request !== undefined && algebra[request.spec.kind].ordered === true
  })
  return found?.name ?? null
}
