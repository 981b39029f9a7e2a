import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { avg, count, createTidemark, percentile, sum, uniques } from 'tidemark'
import { startEmbedded } from 'tidemark/embedded'
import { drawAnswer, drawPlan } from 'tidemark/terminal'
import { loadHub } from './load.ts'
import config, { costTracking, llmRequests, metadata } from './tidemark.config.ts'

const here = dirname(fileURLToPath(import.meta.url))
const url = process.env['DATABASE_URL']
const embedded = url ? null : await startEmbedded({ dataDir: join(here, '.tidemark/postgres'), reuse: true })
const tm = await createTidemark(config, { connectionString: url ?? embedded?.connectionString })
const show = (title: string, lines: readonly string[]): void => console.log(`\n${title}\n${lines.join('\n')}`)

try {
  await tm.migrate()
  const loaded = await tm.query(metadata, { where: { key: 'source' } })
  if (loaded.rows.length === 0) {
    const report = await loadHub(tm)
    console.log(
      `${report.requests} requests, ${report.source}; dead letters: ${JSON.stringify(report.deadLetters)}`,
    )
  }

  const models = await tm.query(llmRequests, {
    by: ['provider', 'model'],
    select: {
      requests: count(),
      prompt: avg('prompt_tokens'),
      p95: percentile('completion_tokens', 0.95),
      users: uniques('user_id'),
      cost: sum('cost_usd'),
    },
    order: ['-requests'],
    limit: 12,
  })
  show('models by usage', [...drawAnswer(models, ['provider', 'model'], 100), ...drawPlan(models.plan)])

  const costs = await tm.query(costTracking, {
    bucket: '1 month',
    zone: 'Europe/Berlin',
    select: { cost: sum('cost_usd'), requests: count() },
    fill: { constant: 0 },
  })
  show('cost a month, Berlin time', drawAnswer(costs, [], 100))

  const rows = await tm
    .kysely()
    .selectFrom('analytics.recent_requests')
    .select(['time', 'model'])
    .limit(3)
    .execute()
  show(`analytics.recent_requests holds ${rows.length} of the last hour`, [])
} finally {
  await tm.close()
  await embedded?.stop()
}
