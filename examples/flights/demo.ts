import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { avg, count, createTidemark, isTidemarkError, percentile, type Tidemark, uniques } from 'tidemark'
import { startEmbedded } from 'tidemark/embedded'
import { createServer, listen } from 'tidemark/server'
import { createProgressBar, drawAnswer, drawPlan, formatDuration, formatNumber } from 'tidemark/terminal'
import config, { flights } from './tidemark.config.ts'

/**
 * From nothing to exact answers over three million real rows: an embedded PostgreSQL, a hypertable, an import, queries
 * and an HTTP server that stays up. Started a second time it finds its rows again.
 */

const here = dirname(fileURLToPath(import.meta.url))
const width = process.stdout.columns || 100
const print = (lines: readonly string[]): void => console.log(lines.join('\n'))
const title = (text: string): void =>
  console.log(`\n── ${text} ${'─'.repeat(Math.max(0, width - text.length - 5))}`)

const stopping = new AbortController()
process.once('SIGINT', () => stopping.abort())
process.once('SIGTERM', () => stopping.abort())

const url = process.env['DATABASE_URL']
const embedded = url ? null : await startEmbedded({ dataDir: join(here, '.tidemark/postgres'), reuse: true })
const tm = await createTidemark(config, { connectionString: url ?? embedded?.connectionString })
try {
  await run(tm)
} catch (error) {
  if (!(stopping.signal.aborted && isTidemarkError(error) && error.code === 'TM_CANCELLED')) throw error
  console.error(`\n${error.message}: npm start`)
  process.exitCode = 130
} finally {
  await tm.close()
  await embedded?.stop()
}

async function run(tm: Tidemark<typeof config>): Promise<void> {
  console.log(`PostgreSQL ${embedded?.version ?? (await tm.ping()).version} at ${tm.target}`)
  await tm.migrate()
  await load(tm)
  if (stopping.signal.aborted) return
  await ask(tm)

  await using worker = tm.createWorker()
  worker.start()
  const app = await createServer(tm)
  const port = Number(process.env['PORT'] ?? config.server.port)
  const address = await listen(app, { host: config.server.host, port })
  title('it stays up')
  print([
    `HTTP     ${address}   (${address}/openapi.json)`,
    ...(embedded
      ? [
          `psql     PGPASSWORD=$(cat ${embedded.dataDir}/tidemark.password) psql -h 127.0.0.1 -p ${embedded.port} -U tidemark`,
        ]
      : []),
    `try      curl -s ${address}/api/v1/query -H 'content-type: application/json' \\`,
    `           -d '{"dataset": "demo.flights", "by": ["origin"], "select": {"n": {"fn": "count"}}, "order": ["-n"], "limit": 5}'`,
    'Ctrl-C stops it; the rows stay.',
  ])
  await new Promise((done) => {
    if (stopping.signal.aborted) done(null)
    else stopping.signal.addEventListener('abort', done, { once: true })
  })
  await app.close()
}

async function load(tm: Tidemark<typeof config>): Promise<void> {
  const [there] = (await tm.query(flights, { select: { rows: count() } })).rows
  if (there && there.rows >= 3_000_000) {
    console.log(`${formatNumber(there.rows)} flights are there from before`)
    return
  }
  const progress = createProgressBar(process.stderr, 'importing flights')
  const report = await tm.import(flights.name, dataFile(), {
    // the file has local times without a zone
    timeZone: 'UTC',
    signal: stopping.signal,
    onProgress: ({ bytesRead, bytesTotal, rows, recordsPerSecond, secondsLeft }) =>
      progress.update({
        share: bytesRead / bytesTotal,
        text: `${formatNumber(rows)} rows, ${formatNumber(Math.round(recordsPerSecond))}/s`,
        etaMs: secondsLeft === null ? null : secondsLeft * 1000,
      }),
  })
  progress.end()
  console.log(
    `imported ${formatNumber(report.rows)} flights in ${formatDuration(report.elapsedMs)}, ${formatNumber(Math.round(report.recordsThisRun / (report.elapsedMs / 1000)))} rows/s`,
  )
}

async function ask(tm: Tidemark<typeof config>): Promise<void> {
  title('flights a week, and the delay that 95 % stayed below')
  const weeks = await tm.query(flights, {
    from: '2001-01-01T00:00:00Z',
    to: '2001-07-01T00:00:00Z',
    bucket: '1 week',
    select: { flights: count(), delay: avg('delay'), p95: percentile('delay', 0.95) },
  })
  print(drawAnswer(weeks, [], width))
  print(drawPlan(weeks.plan))

  title('the airports with the most flights')
  const airports = await tm.query(flights, {
    by: ['origin'],
    select: {
      flights: count(),
      late: count({ where: { delay: { gt: 60 } } }),
      p95: percentile('delay', 0.95),
      destinations: uniques('destination'),
    },
    order: ['-flights'],
    limit: 8,
  })
  print(drawAnswer(airports, ['origin'], width))
  print(drawPlan(airports.plan))

  title('the newest flight of each airport, by skip scan')
  const newest = await tm.query(flights, { latestBy: ['origin'], limit: 6 })
  print(drawAnswer(newest, [], width))
  print(drawPlan(newest.plan))
}

function dataFile(): string {
  const path = join(
    dirname(createRequire(import.meta.url).resolve('vega-datasets')),
    '../data/flights-3m.parquet',
  )
  if (!existsSync(path)) throw new Error(`${path} is missing: run npm install`)
  return path
}
