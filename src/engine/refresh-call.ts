import { type RefreshContext, type RefreshReport, refreshAggregate } from '../continuous/index.ts'
import type { QueryableDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { chooseRange } from './choose-range.ts'
import type { RefreshCallOptions } from './options.ts'

/** A refresh as somebody asks for it, of whatever the name has led to. */
export async function callRefresh(
  context: RefreshContext,
  definition: QueryableDefinition,
  { signal, onProgress, ...range }: RefreshCallOptions,
): Promise<RefreshReport> {
  if (definition.kind !== 'aggregate')
    throw new TidemarkError('TM_QUERY', {
      path: 'aggregate',
      problem: `${definition.name} is no continuous aggregate; only those are refreshed`,
    })
  return refreshAggregate(context, definition, {
    signal: signal ?? null,
    range: chooseRange(range, context.clock),
    ...(onProgress ? { onProgress } : {}),
  })
}
