import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTidemark } from 'tidemark'
import { startEmbedded } from 'tidemark/embedded'
import { listen } from 'tidemark/server'
import { loadPageViews, realLog } from './load.ts'
import { countEvents, createFunctions } from './queries.ts'
import { createSite } from './site.ts'
import config from './tidemark.config.ts'

const here = dirname(fileURLToPath(import.meta.url))
const url = process.env['DATABASE_URL']
const embedded = url ? null : await startEmbedded({ dataDir: join(here, '.tidemark/postgres'), reuse: true })
const tm = await createTidemark(config, { connectionString: url ?? embedded?.connectionString, root: here })

try {
  await tm.migrate()
  await createFunctions(tm)
  if ((await countEvents(tm)) === 0)
    console.log(
      existsSync(realLog)
        ? `${await loadPageViews(tm, realLog, new Date())} page views of a real log, moved to the last days`
        : 'no log beside the project: the first event is yours',
    )
  for (const { name } of config.aggregates) await tm.refresh(name)

  await using worker = tm.createWorker()
  worker.start()
  const app = await createSite(tm, {
    page: join(here, 'page.html'),
    tracker: join(here, '../../dist/browser/tracker.script.js'),
  })
  console.log(`${await listen(app, config.server)}/ is tracked; Ctrl-C ends it`)
  await new Promise<void>((stop) => {
    process.once('SIGINT', () => stop())
    process.once('SIGTERM', () => stop())
  })
  await app.close()
} finally {
  await tm.close()
  await embedded?.stop()
}
