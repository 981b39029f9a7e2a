import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTidemark } from 'tidemark'
import { startEmbedded } from 'tidemark/embedded'
import { createServer, listen } from 'tidemark/server'
import { drawAnswer, drawPlan } from 'tidemark/terminal'
import { hasRealRankings, loadRankings, makeRankings, readRankings, realRankings } from './load.ts'
import { positions, views } from './queries.ts'
import config, { rankings } from './tidemark.config.ts'

const here = dirname(fileURLToPath(import.meta.url))
const url = process.env['DATABASE_URL']
const embedded = url ? null : await startEmbedded({ dataDir: join(here, '.tidemark/postgres'), reuse: true })
const tm = await createTidemark(config, { connectionString: url ?? embedded?.connectionString, root: here })

try {
  await tm.migrate()
  const { rows } = await tm.query(rankings, { limit: 1 })
  if (rows.length === 0) {
    const now = new Date()
    const report = await loadRankings(
      tm,
      'acme',
      hasRealRankings() ? readRankings(realRankings) : makeRankings(50, 800, now),
      now,
    )
    console.log(
      `${report.rankings} rankings of ${report.keywords} keywords${hasRealRankings() ? `, moved by ${report.movedDays} days` : ', made up'}`,
    )
  }
  for (const { name } of config.aggregates) await tm.refresh(name)
  const [newest] = (await tm.query(rankings, { limit: 1, direction: 'desc' })).rows
  for (const [age, view] of Object.entries(views)) {
    const answer = await positions(tm, newest?.keyword ?? '', view)
    console.log(`\n${age}: ${newest?.keyword}`)
    console.log([...drawAnswer(answer, [], 100).slice(0, 6), ...drawPlan(answer.plan)].join('\n'))
  }

  await using worker = tm.createWorker()
  worker.start()
  const app = await createServer(tm, process.env['REDIS_URL'] ? { redisUrl: process.env['REDIS_URL'] } : {})
  const actor = {
    kind: 'cli',
    id: 'example',
    tenant: { kind: 'all' },
    datasets: null,
    requestId: null,
    address: null,
  } as const
  const { key, secret } = await tm.access.keys.create(
    {
      name: 'the example',
      scopes: ['ingest', 'query', 'admin'],
      tenant: { kind: 'one', tenant: 'acme' },
      datasets: null,
      expiresAt: null,
    },
    actor,
  )
  const address = await listen(app, config.server)
  console.log(`\n${address}/openapi.json; a key of the agency "acme":\n${secret}\nCtrl-C ends it`)
  await new Promise<void>((stop) => {
    process.once('SIGINT', () => stop())
    process.once('SIGTERM', () => stop())
  })
  await app.close()
  await tm.access.keys.revoke(key.id, actor)
} finally {
  await tm.close()
  await embedded?.stop()
}
