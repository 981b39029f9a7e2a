import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { avg, count, createTidemark, isTidemarkError, percentile, type Tidemark, uniques } from 'tidemark'
import { startEmbedded } from 'tidemark/embedded'
import { createServer, listen } from 'tidemark/server'
import {
  createProgressBar,
  drawAnswer,
  drawPlan,
  formatBytes,
  formatDuration,
  formatNumber,
} from 'tidemark/terminal'
import config, { flights } from './tidemark.config.ts'

/**
 * From nothing to exact answers over three million real rows: an embedded PostgreSQL, a hypertable, an import, queries,
 * history moved to Parquet, the same queries again, and an HTTP server that stays up. Started a second time it finds its rows again.
 */

const here = dirname(fileURLToPath(import.meta.url))
const width = process.stdout.columns || 100
const print = (lines: readonly string[]): void => console.log(lines.join('\n'))
const title = (text: string): void =>
  console.log(`\n── ${text} ${'─'.repeat(Math.max(0, width - text.length - 5))}`)

const stopping = new AbortController()
process.once('SIGINT', () => stopping.abort())
process.once('SIGTERM', () => stopping.abort())

/** Flights before it go to the lake; June stays in PostgreSQL. */
const frozenUntil = '2001-06-01T00:00:00Z'

const url = process.env['DATABASE_URL']
const embedded = url ? null : await startEmbedded({ dataDir: join(here, '.tidemark/postgres'), reuse: true })
const tm = await createTidemark(config, { connectionString: url ?? embedded?.connectionString, root: here })
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
  const before = await ask(tm, 'answers and plans')
  if (stopping.signal.aborted) return
  if (await freeze(tm)) compare(before, await ask(tm, 'plans'))

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

/** Moves history to the lake and shows what that saves; false when it is there already. */
async function freeze(tm: Tidemark<typeof config>): Promise<boolean> {
  const { chunks } = await tm.planFreeze(flights.name, { to: frozenUntil })
  title('history in Parquet')
  const progress = createProgressBar(process.stderr, 'freezing')
  const report = await tm.freeze(
    flights.name,
    // A declaration says freeze: { after: '30 days' }, and the worker does it. These flights are all of 2001.
    { to: frozenUntil },
    {
      signal: stopping.signal,
      onProgress: ({ chunksDone, chunksTotal, rowsDone, secondsLeft }) =>
        progress.update({
          share: chunksDone / chunksTotal,
          text: `${chunksDone} of ${chunksTotal} chunks, ${formatNumber(rowsDone)} rows`,
          etaMs: secondsLeft === null ? null : secondsLeft * 1000,
        }),
    },
  )
  progress.end()
  if (report.rows > 0)
    console.log(
      `moved ${formatNumber(report.rows)} flights in ${formatDuration(report.elapsedMs)}, ${formatNumber(Math.round((report.rows / report.elapsedMs) * 1000))} rows/s`,
    )
  const lake = (await tm.status()).datasets.find(({ name }) => name === flights.name)?.lake
  if (lake?.before)
    console.log(
      `${lake.coldChunks} chunks with indexes took ${formatBytes(lake.before.bytes)}; in the lake ${formatBytes(lake.before.bytesNow)}: ${lake.before.ratio} times smaller`,
    )
  return chunks.length > 0
}

/** The answers, without the time that they took. */
type Answers = readonly unknown[]

function compare(before: Answers, after: Answers): void {
  title('hot before, cold and hot now')
  if (!isDeepStrictEqual(before, after)) throw new Error('the answers differ')
  console.log('every answer is the same, to the last digit')
}

async function ask(tm: Tidemark<typeof config>, shown: 'answers and plans' | 'plans'): Promise<Answers> {
  const draw = (lines: readonly string[]): void => {
    if (shown !== 'plans') print(lines)
  }
  title('flights a week, and the delay that 95 % stayed below')
  const weeks = await tm.query(flights, {
    from: '2001-01-01T00:00:00Z',
    to: '2001-07-01T00:00:00Z',
    bucket: '1 week',
    select: { flights: count(), delay: avg('delay'), p95: percentile('delay', 0.95) },
  })
  draw(drawAnswer(weeks, [], width))
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
  draw(drawAnswer(airports, ['origin'], width))
  print(drawPlan(airports.plan))

  title('the newest flight of each airport')
  const newest = await tm.query(flights, { latestBy: ['origin'], limit: 6 })
  draw(drawAnswer(newest, [], width))
  print(drawPlan(newest.plan))
  return [weeks.rows, airports.rows, newest.rows]
}

function dataFile(): string {
  const path = join(
    dirname(createRequire(import.meta.url).resolve('vega-datasets')),
    '../data/flights-3m.parquet',
  )
  if (!existsSync(path)) throw new Error(`${path} is missing: run npm install`)
  return path
}
