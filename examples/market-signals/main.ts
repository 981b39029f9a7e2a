import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTidemark } from 'tidemark'
import { startEmbedded } from 'tidemark/embedded'
import { drawAnswer, drawPlan } from 'tidemark/terminal'
import { loadSignals } from './load.ts'
import { questions, statements } from './queries.ts'
import config, { candles1m, sourceDaily } from './tidemark.config.ts'

const here = dirname(fileURLToPath(import.meta.url))
const url = process.env['DATABASE_URL']
const embedded = url ? null : await startEmbedded({ dataDir: join(here, '.tidemark/postgres'), reuse: true })
const tm = await createTidemark(config, { connectionString: url ?? embedded?.connectionString, root: here })
const show = (title: string, lines: readonly string[]): void => console.log(`\n${title}\n${lines.join('\n')}`)

try {
  await tm.migrate()
  const report = await loadSignals(tm, new Date())
  console.log(`${report.ticks} new ticks, ${report.source}`)
  // what the worker does by itself
  for (const { name } of config.aggregates) await tm.refresh(name)

  const day =
    report.source === 'made up' ? { from: '-1 day', to: '+1 hour' } : { from: '2024-08-08', to: '2024-08-10' }
  const candles = await questions.candles(tm, '1 minute', day)
  show(candles1m.name, [...drawAnswer(candles, [], 120).slice(0, 8), ...drawPlan(candles.plan)])
  show('1 hour', drawAnswer(await questions.candles(tm, '1 hour', day), [], 120))
  const daily = await questions.dailyStats(tm)
  show(sourceDaily.name, [...drawAnswer(daily, [], 120), ...drawPlan(daily.plan)])

  show(
    'the same in SQL',
    (await tm.sql(statements.dailyStats)).rows.map((row) =>
      JSON.stringify(row, (_, v) => (typeof v === 'bigint' ? Number(v) : v)),
    ),
  )
} finally {
  await tm.close()
  await embedded?.stop()
}
