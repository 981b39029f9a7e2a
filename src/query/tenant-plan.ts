import { createHmac, randomBytes } from 'node:crypto'
import { type DatasetDefinition, type TenantScope, tenantRule } from '../schema/index.ts'
import type { AnswerPlan, ConsideredAggregate, PlanPart } from './answer.ts'
import type { EventPart } from './events.ts'

/** Whether the table has rows of others, of which nothing may be told. */
export function hidesOthers(dataset: DatasetDefinition, scope: TenantScope | undefined): boolean {
  if (scope === undefined) return false
  const { kind } = tenantRule(dataset, scope)
  return kind === 'own' || kind === 'nothing'
}

/**
 * A plan as a tenant may see it. Chunks, files and cells' validity are shared, so what is counted by them tells of others' rows: which
 * sources answered, with how many cells or rows of his and in which time, is what is left. The number of the snapshot counts
 * everybody's transactions, so it is replaced by a text that is equal for equal ones.
 */
export function planForTenant(plan: AnswerPlan): AnswerPlan {
  return {
    ...plan,
    snapshot: disguised(plan.snapshot),
    parts: partsForTenant(plan.parts),
    ...(plan.aggregates ? { aggregates: aggregatesForTenant(plan.aggregates) } : {}),
  }
}

export function partsForTenant(parts: readonly PlanPart[]): readonly PlanPart[] {
  const sources = new Map<string, PlanPart>()
  for (const { source, cells, ms } of parts) {
    const before = sources.get(source)
    sources.set(source, {
      source,
      ...{ from: null, to: null, rows: null, bytes: null },
      cells: (before?.cells ?? 0) + cells,
      ms: Math.round(((before?.ms ?? 0) + ms) * 1000) / 1000,
      why,
    })
  }
  return [...sources.values()]
}

const why = 'all that was read of it for this tenant'

export function aggregatesForTenant(
  aggregates: readonly ConsideredAggregate[],
): readonly ConsideredAggregate[] {
  return aggregates.map(({ name, used }) => ({
    name,
    used,
    why: used ? 'its cells hold what is asked for' : 'other sources answered',
  }))
}

/** Of this process: nobody else can try numbers until one fits. */
const secret = randomBytes(32)

function disguised(snapshot: string): string {
  return createHmac('sha256', secret).update(snapshot).digest('base64url').slice(0, 16)
}

/** The same of a question about events: its rows are his alone, the files are everybody's. */
export function eventPartsForTenant(parts: readonly EventPart[]): readonly EventPart[] {
  return parts.map(({ source, rows }) => ({ source, rows, files: null }))
}
