import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { createTidemark } from 'tidemark'
import { startEmbedded } from 'tidemark/embedded'
import { drawAnswer, drawPlan } from 'tidemark/terminal'
import { askAggregates, refreshAggregates } from './aggregates.ts'
import { askHub, freezeHub } from './freeze.ts'
import { loadHub } from './load.ts'
import config, {
  dailyCostSummary,
  errorRateByModel,
  hourlyRequestStats,
  metadata,
} from './tidemark.config.ts'

const here = dirname(fileURLToPath(import.meta.url))
const url = process.env['DATABASE_URL']
const embedded = url ? null : await startEmbedded({ dataDir: join(here, '.tidemark/postgres'), reuse: true })
const tm = await createTidemark(config, { connectionString: url ?? embedded?.connectionString, root: here })
const rowsOf = ({ models, costs }: Awaited<ReturnType<typeof askHub>>) => [models.rows, costs.rows]
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

  const before = await askHub(tm)
  show('models by usage', [
    ...drawAnswer(before.models, ['provider', 'model'], 100),
    ...drawPlan(before.models.plan),
  ])
  show('cost a month, Berlin time', drawAnswer(before.costs, [], 100))

  await refreshAggregates(tm)
  const kept = await askAggregates(tm)
  show(`${hourlyRequestStats.name}: latency and users by model`, [
    ...drawAnswer(kept.latency, ['model'], 100),
    ...drawPlan(kept.latency.plan),
  ])
  show(`${dailyCostSummary.name}: the days that cost most`, drawAnswer(kept.costs, [], 100))
  show(`${errorRateByModel.name}: models with errors`, drawAnswer(kept.errors, ['model'], 100))

  show('what is old goes to the lake', [await freezeHub(tm)])
  const after = await askHub(tm)
  if (!isDeepStrictEqual(rowsOf(after), rowsOf(before))) throw new Error('the answers differ')
  show('the same answers, now out of', drawPlan(after.models.plan))

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
