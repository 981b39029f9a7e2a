import { type Materialization, materializationOf } from '../query/index.ts'
import type { ContinuousAggregateDefinition, HypertableDefinition, ProblemList } from '../schema/index.ts'
import { attempt } from './attempt.ts'

/** What an aggregate is declared over. */
export interface Source {
  /** The hypertable under the chain. */
  readonly base: HypertableDefinition
  /** The aggregate right below; null: it is the hypertable. */
  readonly parent: Materialization | null
}

type Link = HypertableDefinition | ContinuousAggregateDefinition

/** More would be a slip: each is a longer bucket than the one below. */
const longestChain = 16

/** Null when there is nothing to build on; the problems say why. */
export function readSource(problems: ProblemList, input: unknown): Source | null {
  const from = linkOf(input)
  if (from === null) {
    problems.add('.from', `must be a hypertable or a continuous aggregate, as declared${kindOf(input)}`)
    return null
  }
  const seen = new Set<Link>()
  let link = from
  while (link.kind === 'aggregate') {
    if (seen.has(link) || seen.size >= longestChain) {
      problems.add('.from', `${link.name} stands on itself, or on more than ${longestChain} others`)
      return null
    }
    seen.add(link)
    const below = linkOf(link.from)
    if (below === null) {
      problems.add('.from', `${link.name} stands on no hypertable; declare it with continuousAggregate()`)
      return null
    }
    link = below
  }
  const base = link
  if (from.kind === 'hypertable') return { base, parent: null }
  if (from.base !== base) {
    problems.add(
      '.from',
      `the base of ${from.name} is not the hypertable under it; declare it with continuousAggregate()`,
    )
    return null
  }
  const parent = attempt(
    problems,
    (path) => `.from.${path}`,
    () => materializationOf(from),
  )
  return parent === null ? null : { base, parent }
}

function linkOf(input: unknown): Link | null {
  const link = input as Partial<Link> | null | undefined
  return link?.kind === 'hypertable' || link?.kind === 'aggregate' ? (link as Link) : null
}

function kindOf(input: unknown): string {
  const { kind, name } = (input ?? {}) as { kind?: unknown; name?: unknown }
  if (kind === 'table') return `; ${String(name)} is a plain table, which has no time`
  return kind === 'view' ? `; ${String(name)} is a view` : ''
}
