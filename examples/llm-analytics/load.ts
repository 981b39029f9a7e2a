import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Tidemark } from 'tidemark'
import { generateRequests } from './generate.ts'
import type config from './tidemark.config.ts'
import {
  costTracking,
  errorLogs,
  llmRequests,
  metadata,
  modelPerformance,
  systemEvents,
  tokenUsage,
} from './tidemark.config.ts'

type Hub = Tidemark<typeof config>

/** Public logs, where somebody has put them beside the project: 28,185 requests of Azure, 5,563 of aider. */
export const realLogs = fileURLToPath(new URL('../../../shared/data/llm/', import.meta.url))

export interface LoadReport {
  readonly source: 'real logs' | 'generated'
  readonly requests: number
  /** Why rows are dead letters, and how many. */
  readonly deadLetters: Readonly<Record<string, number>>
}

/**
 * Fills metrics.llm_requests from the real logs where they are, otherwise from a generator; then derives the tables
 * that stand beside it. Killed anywhere and called again it ends with the same rows; what it did is in
 * analytics.metadata under "source", written last.
 */
export async function loadHub(tm: Hub, folder = realLogs): Promise<LoadReport> {
  const source = existsSync(folder) ? 'real logs' : 'generated'
  if (source === 'real logs') await loadRealLogs(tm, folder)
  else await loadGenerated(tm)
  await deriveTables(tm)

  const [counted] = (await tm.query(llmRequests, { select: { requests: { fn: 'count' } } })).rows
  const { deadLetters } = await tm.status()
  const report: LoadReport = {
    source,
    requests: counted?.requests ?? 0,
    deadLetters: Object.fromEntries(
      deadLetters
        .filter(({ dataset }) => dataset === llmRequests.name)
        .map(({ reason, rows }) => [reason, Number(rows)]),
    ),
  }
  await tm.insert(systemEvents, [
    {
      time: new Date(),
      event_type: 'load',
      source: 'llm-analytics',
      message: `${report.requests} requests from ${report.source}`,
    },
  ])
  await tm.upsert(metadata, [{ key: 'source', value: { ...report } }])
  return report
}

/** Files that are in already are left out, so that a load that was killed goes on. */
async function loadRealLogs(tm: Hub, folder: string): Promise<void> {
  for (const service of ['code', 'conv']) {
    await tm.importFiles(llmRequests.name, [`${folder}azure_llm_2023_${service}.csv.gz`], {
      map: { time: 'TIMESTAMP', prompt_tokens: 'ContextTokens', completion_tokens: 'GeneratedTokens' },
      // the traces name no model: the service is the nearest there is
      set: { provider: 'azure', model: `azure-${service}` },
      // they name no zone either; UTC is said here, not guessed
      timeZone: 'UTC',
    })
  }
  await tm.importFiles(llmRequests.name, [`${folder}aider_message_send.jsonl.gz`], {
    map: {
      time: 'time',
      user_id: 'user_id',
      model: 'properties.main_model',
      prompt_tokens: 'properties.prompt_tokens',
      completion_tokens: 'properties.completion_tokens',
      cost_usd: 'properties.cost',
      properties: 'properties',
    },
    set: { provider: 'aider' },
    // 22 messages went to a model called "None": there was none, so they are dead letters of a column without null
    nullWords: ['None'],
  })
}

async function loadGenerated(tm: Hub): Promise<void> {
  await tm.delete(llmRequests, { all: true })
  await tm.insert(llmRequests, generateRequests({ requests: 30_000, seed: 7, to: new Date() }))
}

/** Token usage, costs and daily performance out of the requests, page by page: plain inserts as an application has them. */
async function deriveTables(tm: Hub): Promise<void> {
  for (const table of [tokenUsage, costTracking, errorLogs] as const) await tm.delete(table, { all: true })
  let cursor: string | undefined
  do {
    const page = await tm.query(llmRequests, {
      columns: [
        'time',
        'provider',
        'model',
        'user_id',
        'status',
        'prompt_tokens',
        'completion_tokens',
        'cost_usd',
      ],
      limit: 10_000,
      ...(cursor === undefined ? {} : { cursor }),
    })
    await tm.insert(
      tokenUsage,
      page.rows.flatMap(({ time, user_id, model, prompt_tokens, completion_tokens }) => [
        { time, user_id, model, kind: 'prompt', tokens: prompt_tokens },
        { time, user_id, model, kind: 'completion', tokens: completion_tokens },
      ]),
    )
    await tm.insert(
      costTracking,
      page.rows.flatMap(({ time, provider, model, user_id, cost_usd }) =>
        cost_usd === null ? [] : [{ time, provider, model, user_id, cost_usd }],
      ),
    )
    await tm.insert(
      errorLogs,
      page.rows
        .filter((row) => row.status !== 'ok')
        .map(({ time, provider, model, status }) => ({ time, provider, model, error_type: status })),
    )
    cursor = page.cursor ?? undefined
  } while (cursor !== undefined)

  const { rows } = await tm.query(llmRequests, {
    bucket: '1 day',
    by: ['model'],
    select: { requests: { fn: 'count' }, tokens: { fn: 'avg', column: 'completion_tokens' } },
  })
  await tm.upsert(
    modelPerformance,
    rows.map(({ bucket, model, requests, tokens }) => ({
      time: bucket,
      model,
      metric: 'completion_tokens_mean',
      value: tokens ?? 0,
      samples: requests,
    })),
  )
}
