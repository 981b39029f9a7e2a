import { activeUsers } from './active-users.ts'
import type { EventsAnswer, EventsPlan, ProductContext, ProductKind, ProductQuestions } from './contract.ts'
import { funnel } from './funnel.ts'
import { lifecycle } from './lifecycle.ts'
import { paths } from './paths.ts'
import { retention } from './retention.ts'
import { sessions } from './sessions.ts'
import { topPages } from './top-pages.ts'

const questions = Object.freeze({ funnel, retention, sessions, topPages, paths, activeUsers, lifecycle })

type Found<Row> = { readonly rows: readonly Row[] } & Omit<EventsPlan, 'elapsedMs'>

/** Every kind of question, by the name that it has in TypeScript. */
export const productKinds = Object.freeze(Object.keys(questions)) as readonly ProductKind[]

/**
 * Answers one question about events, over all of them, wherever they are, in one snapshot.
 *
 * @example
 * const { rows } = await askProduct('funnel', { from: '-30 days', steps: ['visit', 'signup'], within: '7 days' }, context)
 *
 * @throws TidemarkError TM_QUERY with the path of what is wrong, TM_LIMIT, TM_TIMEOUT, TM_CANCELLED, TM_LAKE.
 */
export async function askProduct<K extends ProductKind>(
  kind: K,
  input: unknown,
  context: ProductContext,
): Promise<EventsAnswer<ProductQuestions[K]['row']>> {
  const startedAt = performance.now()
  const { rows, ...found } = (await questions[kind](input, context)) as Found<ProductQuestions[K]['row']>
  return { rows, plan: { ...found, elapsedMs: Math.round(performance.now() - startedAt) } }
}
