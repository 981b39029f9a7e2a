import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Computed, Load } from '../../cache/index.ts'
import type { EventsAnswer, ProductKind } from '../../product/index.ts'
import type { Answer, AnswerPlan } from '../../query/index.ts'
import type { CacheLayer, HypertableDefinition, QueryableDefinition } from '../../schema/index.ts'
import {
  type Instant,
  infinityInstant,
  minusInfinityInstant,
  parseInstant,
  subtractInterval,
  type TimeRange,
} from '../../time/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { toJsonText } from '../../util/json.ts'
import { answerCached, type CachedRequest } from './cache-answer.ts'

/** Sessions are no answers to queries. */
const layers = ['dashboard', 'lists', 'reports'] as const satisfies readonly CacheLayer[]

/** @throws TidemarkError TM_QUERY */
export function readCacheLayer(value: unknown): CacheLayer | null {
  if (value === undefined || value === null || value === false) return null
  const layer = layers.find((name) => name === value)
  if (layer !== undefined) return layer
  throw new TidemarkError('TM_QUERY', {
    path: 'cache',
    problem: `must be one of ${layers.join(', ')}; without it the answer is of this moment`,
  })
}

export interface CachedQuery {
  readonly layer: CacheLayer
  readonly definition: QueryableDefinition
  readonly query: Readonly<Record<string, unknown>>
  readonly timeoutMs: number | null
  readonly ask: (signal: AbortSignal) => Promise<Answer>
}

/**
 * A query whose answer may be kept. The question is the key as it was asked, relative times too: an answer to "-1 day" is of the
 * day before it was computed, which its plan names, and is given out until the layer's ttl is over or a row has changed that would be
 * in it.
 */
export async function answerQuery(
  request: FastifyRequest,
  reply: FastifyReply,
  { layer, definition, query, timeoutMs, ask }: CachedQuery,
): Promise<Buffer> {
  const question = { dataset: definition.name, query, timeoutMs }
  const cached = { layer, question, datasets: datasetsOf(definition) }
  return answerWithPlan(request, reply, cached, async (signal) =>
    computed(definition, query, await ask(signal), request.tm.now()),
  )
}

export interface CachedProductQuestion extends Omit<CachedQuery, 'definition' | 'ask'> {
  readonly kind: ProductKind
  readonly definition: HypertableDefinition
  readonly ask: (signal: AbortSignal) => Promise<EventsAnswer<object>>
}

/** The same of a question about events: what was read of them may begin before its range, and end after it. */
export async function answerProductQuestion(
  request: FastifyRequest,
  reply: FastifyReply,
  { layer, kind, definition, query, timeoutMs, ask }: CachedProductQuestion,
): Promise<Buffer> {
  const question = { product: kind, dataset: definition.name, query, timeoutMs }
  const cached = { layer, question, datasets: [definition.name] }
  return answerWithPlan(request, reply, cached, async (signal) => {
    const answer = await ask(signal)
    const range = hullOf(query, [answer.plan.range, answer.plan.read])
    return {
      body: toJsonText(answer),
      ranges: [range],
      mayKeep: isTold(definition, range, request.tm.now()),
    }
  })
}

async function answerWithPlan(
  request: FastifyRequest,
  reply: FastifyReply,
  cached: CachedRequest,
  load: Load,
): Promise<Buffer> {
  const { layer } = cached
  const { body, outcome, ageMs } = await answerCached(request, reply, cached, load)
  return withCache(body as Buffer, { layer, outcome, ageMs: Math.round(ageMs) })
}

/** Tables under an answer: what lies under an aggregate, and what is looked up when it is read. */
export function datasetsOf(definition: QueryableDefinition): string[] {
  if (definition.kind !== 'aggregate') return [definition.name]
  return [definition.base.name, ...Object.values(definition.dimensions).map(({ source }) => source.name)]
}

function computed(
  definition: QueryableDefinition,
  query: Readonly<Record<string, unknown>>,
  answer: Answer,
  now: Instant,
): Computed {
  const range = rangeOf(query, answer)
  return { body: toJsonText(answer), ranges: [range], mayKeep: isTold(definition, range, now) }
}

/**
 * Where a change makes the answer wrong. Open at the end where the end is relative: what is written there later belongs to the question
 * by then. Nothing that was read lies outside.
 */
export function rangeOf(query: Readonly<Record<string, unknown>>, { plan }: Pick<Answer, 'plan'>): TimeRange {
  return hullOf(query, [plan.range, ...plan.parts])
}

type ShownRange = AnswerPlan['range']

function hullOf(query: Readonly<Record<string, unknown>>, ends: readonly ShownRange[]): TimeRange {
  const from = ends.map((part) => (part.from === null ? minusInfinityInstant : parseInstant(part.from)))
  const to = ends.map((part) => (part.to === null ? infinityInstant : parseInstant(part.to)))
  return {
    from: from.reduce((least, instant) => (instant < least ? instant : least)),
    to: isFixed(query['to'])
      ? to.reduce((most, instant) => (instant > most ? instant : most))
      : infinityInstant,
  }
}

/** A date or a time, and nothing that moves. */
function isFixed(to: unknown): boolean {
  return typeof to === 'string' && /^\s*[+-]?\d{4,6}-\d\d/.test(to)
}

/** Late rows whose chunk is gone are merged into cells, and no log tells of it. */
function isTold(definition: QueryableDefinition, { from }: TimeRange, now: Instant): boolean {
  const base = definition.kind === 'aggregate' ? definition.base : definition
  if (base.kind === 'table' || base.late !== 'merge' || base.retain === null) return true
  return from >= subtractInterval(now, base.retain, null)
}

/** The plan, which is the last of an answer, names the cache too. */
function withCache(body: Buffer, cache: object): Buffer {
  const end = body.length - 2
  return Buffer.concat([
    body.subarray(0, end),
    Buffer.from(`,"cache":${JSON.stringify(cache)}`),
    body.subarray(end),
  ])
}
