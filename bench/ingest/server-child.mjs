// Tidemark's HTTP server in a process of its own, as `tidemark dev` runs it, with the jobs of the worker beside where that is ordered.
import { setTimeout as sleep } from 'node:timers/promises'
import { obey, usedMs } from './children.mjs'
import { createClock } from './clock.mjs'
import { configs } from './tables.mjs'

const {
  root,
  config: name,
  options,
  connectionString,
  dir,
  port = 0,
  clock,
  jobsEveryMs,
  migrate,
} = JSON.parse(process.argv[2])
const api = await import(new URL('index.js', root))
const { createServer, listen } = await import(new URL('api/index.js', root))
const config = configs[name](api, options ?? {})
const tm = await api.createTidemark(config, {
  connectionString,
  root: dir,
  ...(clock === undefined ? {} : { clock: createClock(clock) }),
})
if (migrate === true) await tm.migrate()
const app = await createServer(tm)
const url = await listen(app, { host: '127.0.0.1', port })

let isStopped = false
let jobs = Promise.resolve()
const done = {}
const failed = []
if (jobsEveryMs !== undefined) {
  const worker = tm.createWorker()
  jobs = (async () => {
    while (!isStopped) {
      try {
        for (const { name: job, result, error } of await worker.runOnce({ force: true })) {
          if (error !== null) failed.push(`${job}: ${error.message}`.slice(0, 300))
          for (const [what, value] of Object.entries(result ?? {}))
            if (typeof value === 'number' && value > 0)
              done[`${job} ${what}`] = (done[`${job} ${what}`] ?? 0) + value
        }
      } catch (error) {
        failed.push(String(error.message).slice(0, 300))
      }
      await sleep(jobsEveryMs)
    }
  })()
}

obey(
  { url, pid: process.pid },
  {
    usage: () => {
      globalThis.gc?.()
      const { rss, heapUsed, external } = process.memoryUsage()
      const { spoolBytes, pendingBytes } = tm.ingestState
      return { usedMs: usedMs(), rss, heapUsed, external, spoolBytes, pendingBytes }
    },
    // files of the spool outlive what is in them
    waiting: async () => (await tm.status()).spool.waitingBytes,
    freeze: () => tm.freeze(config.datasets[0].name, { all: true }, { blockWriters: true }),
    jobs: () => ({ done, failed: failed.splice(0) }),
    async stop() {
      isStopped = true
      await jobs
      await app.close()
      await tm.close()
    },
  },
)
