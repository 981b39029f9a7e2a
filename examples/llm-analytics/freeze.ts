import { avg, count, percentile, sum, type Tidemark, uniques } from 'tidemark'
import { createProgressBar, formatBytes, formatNumber } from 'tidemark/terminal'
import type config from './tidemark.config.ts'
import { costTracking, llmRequests } from './tidemark.config.ts'

type Hub = Tidemark<typeof config>

/** Usage by model, and costs by month of Berlin: asked before and after the freeze. */
export async function askHub(tm: Hub) {
  const models = await tm.query(llmRequests, {
    by: ['provider', 'model'],
    select: {
      requests: count(),
      prompt: avg('prompt_tokens'),
      p95: percentile('completion_tokens', 0.95),
      users: uniques('user_id'),
      cost: sum('cost_usd'),
    },
    order: ['-requests', 'model'],
    limit: 12,
  })
  const costs = await tm.query(costTracking, {
    bucket: '1 month',
    zone: 'Europe/Berlin',
    select: { cost: sum('cost_usd'), requests: count() },
    fill: { constant: 0 },
  })
  return { models, costs }
}

/** Does at once what the worker does by and by for every table: what `freeze.after` says. Tells what it saved. */
export async function freezeHub(tm: Hub): Promise<string> {
  const { name } = llmRequests
  const progress = createProgressBar(process.stderr, 'freezing')
  await tm
    .freeze(
      name,
      {},
      {
        onProgress: ({ chunksDone, chunksTotal, secondsLeft }) =>
          progress.update({
            share: chunksTotal > 0 ? chunksDone / chunksTotal : null,
            text: `${chunksDone} of ${chunksTotal} chunks`,
            etaMs: secondsLeft === null ? null : secondsLeft * 1000,
          }),
      },
    )
    .finally(() => progress.end())
  const lake = (await tm.status()).datasets.find((dataset) => dataset.name === name)?.lake
  if (!lake?.before) return `${name}: nothing of it is old enough`
  const { bytes, bytesNow, ratio } = lake.before
  return `${name}: ${formatNumber(lake.rows)} rows of ${lake.coldChunks} chunks, ${formatBytes(bytes)} with indexes -> ${formatBytes(bytesNow)}, ${ratio} : 1`
}
