import type { JsonValue } from '../../schema/index.ts'
import type { Instant } from '../../time/index.ts'
import type { Span } from './traces.ts'

/** A request to a model, as a span tells of it. */
export interface GenAiCall {
  readonly index: number
  readonly time: Instant
  /** chat, text_completion, embeddings, execute_tool, … */
  readonly operation: string | null
  readonly provider: string | null
  /** The model that answered; where that is not said, the one that was asked for. */
  readonly model: string | null
  readonly requestModel: string | null
  readonly responseModel: string | null
  readonly inputTokens: number | null
  readonly outputTokens: number | null
  readonly latencyMs: number | null
  readonly status: 'ok' | 'error'
  /** The kind of the failure: `error.type`, else the span's message. */
  readonly error: string | null
  readonly userId: string | null
  readonly conversationId: string | null
  readonly responseId: string | null
  readonly finishReasons: JsonValue
  readonly span: Span
}

/**
 * The call to a model that a span stands for, by the semantic conventions of OpenTelemetry for generative AI: today's names, and
 * those of before 1.37 that exporters still send. Null for a span that has none of their attributes.
 */
export function genAiCallOf(span: Span): GenAiCall | null {
  const { attributes } = span
  if (!Object.keys(attributes).some((name) => name.startsWith('gen_ai.'))) return null
  const requestModel = text(attributes['gen_ai.request.model'])
  const responseModel = text(attributes['gen_ai.response.model'])
  const errorType = text(attributes['error.type'])
  const isError = span.status === 'error' || errorType !== null
  return {
    index: span.index,
    time: span.time,
    operation: text(attributes['gen_ai.operation.name']),
    provider: text(attributes['gen_ai.provider.name']) ?? text(attributes['gen_ai.system']),
    model: responseModel ?? requestModel,
    requestModel,
    responseModel,
    inputTokens: count(attributes['gen_ai.usage.input_tokens'] ?? attributes['gen_ai.usage.prompt_tokens']),
    outputTokens: count(
      attributes['gen_ai.usage.output_tokens'] ?? attributes['gen_ai.usage.completion_tokens'],
    ),
    latencyMs: span.durationMs,
    status: isError ? 'error' : 'ok',
    error: isError ? (errorType ?? span.statusMessage) : null,
    userId: text(attributes['user.id']) ?? text(attributes['enduser.id']),
    conversationId: text(attributes['gen_ai.conversation.id']),
    responseId: text(attributes['gen_ai.response.id']),
    finishReasons: attributes['gen_ai.response.finish_reasons'] ?? null,
    span,
  }
}

function text(value: JsonValue | undefined): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

function count(value: JsonValue | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}
