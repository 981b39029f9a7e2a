import { parseArgs } from 'node:util'
import { accountForServer } from '../../src/postgres/embedded/account.ts'
import { prepareBinaries } from '../../src/postgres/embedded/binaries.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { startStandby } from '../helpers/standby.ts'
import { startTestServer } from '../helpers/test-server.ts'
import { aggregateNames } from './aggregates.ts'
import { runCrashLane } from './crash/crash-lane.ts'
import { startDurableServer } from './crash/durable-server.ts'
import { mountSmallDisk, runDiskFull } from './disk-full.ts'
import { Difference, runEpisode } from './episode.ts'
import { runStandby } from './standby.ts'

/**
 * The long run: `npm run oracle -- --steps 10000 [--seed N] [--lane pg18|pg15]`. Episodes of `--episode` steps, each on a
 * database of its own; episode k has the seed N + k, so it can be run alone.
 */
const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000' },
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
const total = Number(values.steps)
const perEpisode = Number(values.episode)
const firstSeed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
const focus = values.focus === undefined ? undefined : new RegExp(values.focus)
const only = values.only?.split(',').map(Number)

const bin =
  values.lane === 'pg15'
    ? '/usr/lib/postgresql/15/bin'
    : (await prepareBinaries(await accountForServer())).bin
if (values.crash) {
  process.exitCode = await runCrashes()
  process.exit()
}
const server = await startTestServer(`oracle-${values.lane}`, bin)
const admin = createDatabase({ connectionString: server.connectionString, max: 1 })

async function withDatabase<T>(use: (connectionString: string) => Promise<T>): Promise<T> {
  const name = `oracle_${databases++}`
  await admin.execute(`create database ${name} template template0`)
  const url = new URL(server.connectionString)
  url.pathname = `/${name}`
  try {
    return await use(url.href)
  } finally {
    // what was prepared and not ended would keep it
    const db = createDatabase({ connectionString: url.href, max: 1 })
    await rollBackPrepared(db).finally(() => db.close())
    await admin.execute(`drop database ${name} with (force)`)
  }
}

async function rollBackPrepared(db: ReturnType<typeof createDatabase>): Promise<void> {
  const { rows } = await db.query({
    kind: 'sql',
    parts: [{ kind: 'text', text: 'select gid from pg_prepared_xacts where database = current_database()' }],
  })
  for (const [gid] of rows) await db.execute(`rollback prepared '${String(gid)}'`)
}

function printCounts(counts: ReadonlyMap<string, number>): void {
  for (const [what, count] of [...counts].sort())
    process.stdout.write(`${String(count).padStart(7)} ${what}\n`)
}

function printDifference({ message, cause }: Error): void {
  process.stdout.write(`\nDIFFERENCE\n${message}\n${String((cause as Error | undefined)?.stack)}\n`)
}

/** Kills, in lives of `--episode` kills each on a database of its own. */
async function runCrashes(): Promise<number> {
  const durable = await startDurableServer(bin)
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

async function runOnStandby(): Promise<number> {
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

async function runFullDisks(): Promise<number> {
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

let databases = 0
let done = 0
let queries = 0
const counts = new Map<string, number>()
const sources = new Map<string, number>()
const startedAt = performance.now()

function report(): void {
  const seconds = (performance.now() - startedAt) / 1000
  process.stdout.write(
    `${values.lane}: ${done} steps, ${queries} queries compared, ${(done / seconds).toFixed(1)} steps/s\n`,
  )
}

const command = (seed: number, more = ''): string =>
  `npm run oracle -- --lane ${values.lane} --seed ${seed} --steps ${perEpisode} --episode ${perEpisode}${focus ? ` --focus '${values.focus}'` : ''}${more}`

/** The same steps without one stretch after the other, for as long as there is still a difference. */
async function shrink(seed: number, failed: Difference, places: readonly number[]): Promise<void> {
  const endsAt = performance.now() + Number(values.shrink) * 1000
  let least = places.filter((place) => place <= failed.place)
  let found = failed
  for (let size = Math.ceil(least.length / 2); size >= 1 && performance.now() < endsAt; ) {
    let isShorter = false
    for (let at = 0; at < least.length && performance.now() < endsAt; ) {
      const candidate = [...least.slice(0, at), ...least.slice(at + size)]
      const difference = await attempt(seed, candidate)
      if (difference) {
        found = difference
        least = candidate.filter((place) => place <= difference.place)
        isShorter = true
      } else at += size
    }
    if (size === 1 && !isShorter) break
    size = size === 1 ? 1 : Math.ceil(size / 2)
  }
  process.stdout.write(
    `\ncut down to ${least.length} steps:\n${found.log.join('\n')}\n\n${found.message}\n\nagain: ${command(seed, ` --only ${least.join(',')}`)}\n`,
  )
}

async function attempt(seed: number, places: readonly number[]): Promise<Difference | null> {
  try {
    await withDatabase((connectionString) =>
      runEpisode({ connectionString, seed, steps: perEpisode, only: places, focus }),
    )
    return null
  } catch (error) {
    if (error instanceof Difference) return error
    throw error
  }
}

if (values['disk-full'] || values.standby) {
  process.exitCode = await (values.standby ? runOnStandby() : runFullDisks())
  await admin.close()
  await server.stop()
  process.exit()
}

process.stdout.write(`${values.lane}: seed ${firstSeed}, ${total} steps in episodes of ${perEpisode}\n`)
let isRight = true
let stepBegan = performance.now()
let cpuBegan = process.cpuUsage()
try {
  for (let episode = 0; done < total && isRight; episode += 1) {
    const seed = firstSeed + episode
    const before = done
    try {
      const result = await withDatabase((connectionString) =>
        runEpisode({
          connectionString,
          seed,
          steps: perEpisode,
          focus,
          ...(only ? { only } : {}),
          onStep(place, kind, outcome) {
            done += 1
            const now = performance.now()
            const { user, system } = process.cpuUsage(cpuBegan)
            if (values.verbose)
              process.stdout.write(
                `${place} ${kind}: ${outcome} (${Math.round(now - stepBegan)} ms, ${Math.round((user + system) / 1000)} ms of processor)\n`,
              )
            stepBegan = now
            cpuBegan = process.cpuUsage()
          },
        }),
      )
      queries += result.queries
      for (const [kind, count] of result.counts) counts.set(kind, (counts.get(kind) ?? 0) + count)
      for (const [source, count] of result.sources) sources.set(source, (sources.get(source) ?? 0) + count)
      report()
    } catch (error) {
      if (!(error instanceof Difference)) throw error
      isRight = false
      process.stdout.write(
        `\nDIFFERENCE in the episode of seed ${seed} after ${done - before} steps\n${error.log.join('\n')}\n\n` +
          `${error.message}\n${error.cause instanceof Error ? error.cause.stack : ''}\n\nagain: ${command(seed)}\n`,
      )
      if (!only && Number(values.shrink) > 0)
        await shrink(
          seed,
          error,
          Array.from({ length: perEpisode }, (_, i) => i),
        )
    }
    if (only) break
  }
  report()
  printCounts(counts)
  process.stdout.write('parts of answers by where they came from:\n')
  printCounts(sources)
  const unused = ['hot', 'cold', 'cache', 'shadow: checked', ...aggregateNames].filter(
    (source) => !sources.has(source),
  )
  if (isRight && !only && done >= 1000 && unused.length > 0) {
    isRight = false
    process.stdout.write(`\nnot one answer came from ${unused.join(', ')}\n`)
  }
} finally {
  await admin.close()
  await server.stop()
}
process.exitCode = isRight ? 0 : 1
