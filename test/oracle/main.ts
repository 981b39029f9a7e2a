import { parseArgs } from 'node:util'
import { createDatabase } from '../../src/postgres/index.ts'
import { startStandby } from '../helpers/standby.ts'
import { aggregateNames } from './aggregates.ts'
import { runCrashLane } from './crash/crash-lane.ts'
import { startDurableServer } from './crash/durable-server.ts'
import { mountSmallDisk, runDiskFull } from './disk-full.ts'
import { binariesOf, type EpisodeServer, startEpisodeServer } from './episode-server.ts'
import { type JobsReport, runJobs } from './jobs.ts'
import { runStandby } from './standby.ts'

/**
 * The long run: `npm run oracle -- --steps 10000 [--jobs 4] [--seed N] [--lane pg18|pg15]`. Episodes of `--episode` steps, each
 * on a database of its own; episode k has the seed N + k, so it can be run alone. A process waits most of the time: two for
 * each core keep a machine busy.
 */
const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000' },
    jobs: { type: 'string', default: '1' },
    episode: { type: 'string', default: '150' },
    seed: { type: 'string' },
    lane: { type: 'string', default: 'pg18' },
    only: { type: 'string' },
    shrink: { type: 'string', default: '240' },
    focus: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    crash: { type: 'boolean', default: false },
    kills: { type: 'string', default: '100' },
    minutes: { type: 'string' },
    'disk-full': { type: 'boolean', default: false },
    standby: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '100' },
  },
})
const firstSeed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)

if (values.crash) {
  process.exitCode = await runCrashes()
  process.exit()
}
if (values['disk-full'] || values.standby) {
  const host = await startEpisodeServer(values.lane)
  process.exitCode = await (values.standby ? runOnStandby(host) : runFullDisks(host))
  await host.close()
  process.exit()
}
process.exitCode = await runSteps()

function printCounts(counts: ReadonlyMap<string, number>): void {
  for (const [what, count] of [...counts].sort())
    process.stdout.write(`${String(count).padStart(7)} ${what}\n`)
}

function printDifference({ message, cause }: Error): void {
  process.stdout.write(`\nDIFFERENCE\n${message}\n${String((cause as Error | undefined)?.stack)}\n`)
}

/** Kills, in lives of `--episode` kills each on a database of its own. */
async function runCrashes(): Promise<number> {
  const durable = await startDurableServer(await binariesOf(values.lane))
  const kills = Number(values.kills)
  const endsAt = values.minutes === undefined ? Infinity : performance.now() + Number(values.minutes) * 60_000
  const sum = { kills: 0, orders: 0, queries: 0 }
  const counts = new Map<string, number>()
  process.stdout.write(`${values.lane}: seed ${firstSeed}, ${kills} kills\n`)
  try {
    for (let life = 0; sum.kills < kills && performance.now() < endsAt; life += 1) {
      const name = `crash_${life}`
      const db = createDatabase({ connectionString: durable.connectionString, max: 1 })
      await db.execute(`create database ${name} template template0`).finally(() => db.close())
      const url = new URL(durable.connectionString)
      url.pathname = `/${name}`
      const report = await runCrashLane({
        server: durable,
        connectionString: url.href,
        seed: firstSeed + life,
        kills: Math.min(Number(values.episode), kills - sum.kills),
        ...(endsAt === Infinity ? {} : { forMs: endsAt - performance.now() }),
        ...(values.verbose ? { onLine: (line: string) => void process.stdout.write(`${line}\n`) } : {}),
      })
      sum.kills += report.kills
      sum.orders += report.orders
      sum.queries += report.queries
      for (const [what, count] of report.counts) counts.set(what, (counts.get(what) ?? 0) + count)
      const after = createDatabase({ connectionString: durable.connectionString, max: 1 })
      await after.execute(`drop database ${name} with (force)`).finally(() => after.close())
      process.stdout.write(
        `${values.lane}: ${sum.kills} kills, ${sum.orders} orders, ${sum.queries} queries compared\n`,
      )
    }
    printCounts(counts)
    return 0
  } catch (error) {
    printDifference(error as Error)
    return 1
  } finally {
    await durable.stop()
  }
}

async function runOnStandby({ server, bin, withDatabase }: EpisodeServer): Promise<number> {
  const standby = await startStandby(server, bin, values.lane)
  process.stdout.write(`${values.lane}: seed ${firstSeed}, ${values.rounds} rounds with a standby\n`)
  try {
    const report = await withDatabase((connectionString) =>
      runStandby({
        connectionString,
        standby,
        seed: firstSeed,
        rounds: Number(values.rounds),
        ...(values.verbose ? { onLine: (line: string) => void process.stdout.write(`${line}\n`) } : {}),
      }),
    )
    process.stdout.write(`${values.lane}: ${report.rounds} rounds, ${report.queries} queries compared\n`)
    printCounts(report.counts)
    return 0
  } catch (error) {
    printDifference(error as Error)
    return 1
  } finally {
    await standby.stop()
  }
}

async function runFullDisks({ withDatabase }: EpisodeServer): Promise<number> {
  const mounted = mountSmallDisk(2 * 1024 * 1024)
  if ('refusal' in mounted) {
    process.stdout.write(`skipped: ${mounted.refusal}\n`)
    return 0
  }
  const { disk } = mounted
  process.stdout.write(`${values.lane}: seed ${firstSeed}, ${values.rounds} rounds on a full disk\n`)
  try {
    const report = await withDatabase((connectionString) =>
      runDiskFull({ connectionString, disk, seed: firstSeed, rounds: Number(values.rounds) }),
    )
    process.stdout.write(`${values.lane}: ${report.rounds} rounds, ${report.queries} queries compared\n`)
    printCounts(report.counts)
    return 0
  } catch (error) {
    printDifference(error as Error)
    return 1
  } finally {
    disk.unmount()
  }
}

/** Episodes on databases of their own, in `--jobs` processes. */
async function runSteps(): Promise<number> {
  const total = Number(values.steps)
  const stepsPerEpisode = Number(values.episode)
  const only = values.only?.split(',').map(Number) ?? null
  const episodes = only ? 1 : Math.ceil(total / stepsPerEpisode)
  const startedAt = performance.now()
  const print = ({ steps, queries }: JobsReport): void => {
    const seconds = (performance.now() - startedAt) / 1000
    process.stdout.write(
      `${values.lane}: ${steps} steps, ${queries} queries compared, ${(steps / seconds).toFixed(1)} steps/s\n`,
    )
  }
  process.stdout.write(
    `${values.lane}: seed ${firstSeed}, ${total} steps in episodes of ${stepsPerEpisode}, ${values.jobs} at once\n`,
  )
  // once: the jobs find them there
  await binariesOf(values.lane)
  const report = await runJobs(
    {
      lane: values.lane,
      stepsPerEpisode,
      focus: values.focus ?? null,
      only,
      shrinkSeconds: Number(values.shrink),
      isVerbose: values.verbose,
    },
    Number(values.jobs),
    Array.from({ length: episodes }, (_, i) => firstSeed + i),
    print,
  )
  print(report)
  printCounts(report.counts)
  process.stdout.write('parts of answers by where they came from:\n')
  printCounts(report.sources)
  printProcessor(report)
  const unused = ['hot', 'cold', 'cache', 'shadow: checked', ...aggregateNames].filter(
    (source) => !report.sources.has(source),
  )
  if (!report.isRight) return 1
  if (only || report.steps < 1000 || unused.length === 0) return 0
  process.stdout.write(`\nnot one answer came from ${unused.join(', ')}\n`)
  return 1
}

/** Of what a step costs, who pays it. */
function printProcessor({ processor, steps }: JobsReport): void {
  const each = [...processor].map(([who, ms]) => [who, ms / Math.max(1, steps)] as const)
  const sum = each.reduce((all, [, ms]) => all + ms, 0)
  process.stdout.write(`milliseconds of processor a step: ${sum.toFixed(1)}\n`)
  for (const [who, ms] of each) process.stdout.write(`${ms.toFixed(1).padStart(7)} ${who}\n`)
}
