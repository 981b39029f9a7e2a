import {
  type ApplyStep,
  type Dropped,
  dropReason,
  type EnrichStep,
  type RawRow,
  type StoredDefinition,
} from '../schema/index.ts'

/** A row with its columns, or why it is left out, and by which step. */
export type EnrichedRow =
  | { readonly row: RawRow; readonly dropped: null }
  | { readonly row: null; readonly dropped: { readonly reason: string; readonly step: string } }

export interface Enricher {
  enrich(row: RawRow): EnrichedRow
}

/**
 * Opens the steps of one table. What steps read and is no column of it (a user agent, an IP address) is taken away at the end.
 *
 * @example
 * const enricher = await createEnricher(events, [bots({ from: 'user_agent' })], dir)
 * enricher.enrich({ time, user_agent: 'curl/8' }) // { row: null, dropped: { reason: 'bot', step: 'bots' } }
 * @throws TidemarkError TM_CONFIG when a file or package that a step needs is not there.
 */
export async function createEnricher(
  definition: StoredDefinition,
  steps: readonly EnrichStep[],
  dir: string,
): Promise<Enricher> {
  const open: { readonly step: string; readonly apply: ApplyStep }[] = []
  for (const step of steps) open.push({ step: step.step, apply: await step.open(dir) })
  const passing = new Set(
    steps.flatMap(({ reads }) => reads).filter((key) => !Object.hasOwn(definition.columns, key)),
  )
  return {
    enrich(given) {
      let row = given
      for (const { step, apply } of open) {
        const next = apply(row)
        if (isDropped(next)) return { row: null, dropped: { reason: next[dropReason], step } }
        row = next
      }
      for (const key of passing) {
        if (!Object.hasOwn(row, key)) continue
        const { [key]: _, ...rest } = row
        row = rest
      }
      return { row, dropped: null }
    },
  }
}

function isDropped(result: RawRow | Dropped): result is Dropped {
  return dropReason in result
}
