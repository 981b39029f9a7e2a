import { Difference, runEpisode } from './episode.ts'
import { startEpisodeServer } from './episode-server.ts'
import type { JobMessage, JobOrders, JobSeed } from './jobs.ts'
import { processorTimes } from './processor.ts'

/** One of the processes of `jobs.ts`: one server, one episode after the other. */
const orders = JSON.parse(process.argv[2]!) as JobOrders
const { lane, stepsPerEpisode: steps, isVerbose } = orders
const focus = orders.focus === null ? undefined : new RegExp(orders.focus)
const host = await startEpisodeServer(lane)
let isDone = false
// without it nobody would take what is found
process.once('disconnect', () => process.exit(isDone ? 0 : 1))

/** Resolves when it is on its way: the process may end then. */
function say(message: JobMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve()))
  })
}

async function nextSeed(): Promise<number | null> {
  const answer = new Promise<JobSeed>((resolve) => {
    process.once('message', (message: JobSeed) => resolve(message))
  })
  await say({ kind: 'ask' })
  return (await answer).seed
}

const command = (seed: number, more = ''): string =>
  `npm run oracle -- --lane ${lane} --seed ${seed} --steps ${steps} --episode ${steps}${focus ? ` --focus '${focus.source}'` : ''}${more}`

/** The same steps without one stretch after the other, for as long as there is still a difference. */
async function shrink(seed: number, failed: Difference): Promise<void> {
  const endsAt = performance.now() + orders.shrinkSeconds * 1000
  let least = Array.from({ length: failed.place + 1 }, (_, i) => i)
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

async function attempt(seed: number, only: readonly number[]): Promise<Difference | null> {
  try {
    await host.withDatabase((connectionString) => runEpisode({ connectionString, seed, steps, only, focus }))
    return null
  } catch (error) {
    if (error instanceof Difference) return error
    throw error
  }
}

async function run(seed: number): Promise<void> {
  let done = 0
  let wall = performance.now()
  let processor = process.cpuUsage()
  try {
    const { queries, counts, sources } = await host.withDatabase((connectionString) =>
      runEpisode({
        connectionString,
        seed,
        steps,
        focus,
        ...(orders.only ? { only: orders.only } : {}),
        onStep(place, kind, outcome) {
          done += 1
          const { user, system } = process.cpuUsage(processor)
          if (isVerbose)
            process.stdout.write(
              `${place} ${kind}: ${outcome} (${Math.round(performance.now() - wall)} ms, ${Math.round((user + system) / 1000)} ms of processor)\n`,
            )
          wall = performance.now()
          processor = process.cpuUsage()
        },
      }),
    )
    await say({ kind: 'episode', steps: done, queries, counts: [...counts], sources: [...sources] })
  } catch (error) {
    if (!(error instanceof Difference)) throw error
    // at once: the others stop after their episodes
    await say({ kind: 'difference', steps: done })
    process.stdout.write(
      `\nDIFFERENCE in the episode of seed ${seed} after ${done} steps\n${error.log.join('\n')}\n\n` +
        `${error.message}\n${error.cause instanceof Error ? error.cause.stack : ''}\n\nagain: ${command(seed)}\n`,
    )
    if (!orders.only && orders.shrinkSeconds > 0) await shrink(seed, error)
  }
}

try {
  const before = processorTimes(host.server.dir)
  for (let seed = await nextSeed(); seed !== null; seed = await nextSeed()) await run(seed)
  const whole = [...processorTimes(host.server.dir)]
  await say({ kind: 'end', processor: whole.map(([who, ms]) => [who, ms - (before.get(who) ?? 0)] as const) })
} finally {
  await host.close()
}
isDone = true
process.disconnect()
