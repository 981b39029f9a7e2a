import type { InsertRow } from 'tidemark'
import type { llmRequests } from './tidemark.config.ts'

/**
 * Requests whose shape was measured on the public logs: prompts are log-normal around 900 tokens, completions around
 * 130, one request in a hundred fails, latency grows with the completion. Not real data, and called so in the report.
 */
export function* generateRequests(options: {
  readonly requests: number
  readonly seed: number
  /** Newest request; the oldest is 14 days before. */
  readonly to: Date
}): Generator<InsertRow<typeof llmRequests>> {
  const random = mulberry32(options.seed)
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const logNormal = (median: number, sigma: number): number =>
    Math.max(1, Math.round(median * Math.exp(sigma * normal())))
  const span = 14 * 24 * 3_600_000
  for (let i = 0; i < options.requests; i++) {
    const provider = random() < 0.6 ? 'generated-a' : 'generated-b'
    const completion_tokens = logNormal(130, 1.1)
    const prompt_tokens = logNormal(900, 1.3)
    yield {
      time: new Date(options.to.getTime() - span + (span * i) / options.requests),
      provider,
      model: `${provider}-${random() < 0.7 ? 'small' : 'large'}`,
      user_id: `user-${Math.floor(random() ** 2 * 500)}`,
      status: random() < 0.01 ? 'error' : 'ok',
      latency_ms: Math.round((200 + completion_tokens * 12 * Math.exp(0.3 * normal())) * 1000) / 1000,
      prompt_tokens,
      completion_tokens,
      cost_usd: ((prompt_tokens * 3 + completion_tokens * 15) / 1e6).toFixed(8),
    }
  }
}

/** A small random generator with a seed (public domain, by Tommy Ettinger). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32
  }
}
