import type { EndedQuery } from '../engine/index.ts'

/** Where rows of an answer can come from; every other source of a part is a continuous aggregate of that name. */
const places = new Set(['hot', 'cold', 'cache'])

export function tierOf(source: string): string {
  return places.has(source) ? source : 'aggregate'
}

/** Where a whole answer came from, in one word. */
export function tierOfAnswer({ plan }: Pick<EndedQuery, 'plan'>): string {
  if (plan === null) return 'failed'
  const tiers = new Set(plan.parts.map(({ source }) => tierOf(source)))
  const [only = 'none'] = tiers
  return tiers.size > 1 ? 'mixed' : only
}
