import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Milliseconds of processor by who has used them, since the machine knows of him. Linux only: elsewhere this process alone. */
export type ProcessorTimes = ReadonlyMap<string, number>

/** Linux counts in hundredths of a second, whatever the kernel's own clock does. */
const tickMs = 10

/** `serverDir`: where the server's data lies. */
export function processorTimes(serverDir: string): ProcessorTimes {
  const times = new Map<string, number>()
  const note = (who: string, ms: number): void => void times.set(who, (times.get(who) ?? 0) + ms)
  const { user, system } = process.cpuUsage()
  const own = (user + system) / 1000
  const main = ticks(`/proc/self/task/${process.pid}/stat`)
  note('this process: main thread', main === null ? own : main.own)
  if (main === null) return times
  note('this process: other threads (DuckDB, garbage collection)', own - main.own)
  const postmaster = readFileSync(join(serverDir, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]!
  const server = ticks(`/proc/${postmaster}/stat`)
  note('server: postmaster (forks)', server?.own ?? 0)
  note('server: backends that have left', server?.children ?? 0)
  for (const child of childrenOf(postmaster)) {
    const who =
      /postgres: (checkpointer|background writer|walwriter|autovacuum|walsender|logical|io worker)/.exec(
        textOf(`/proc/${child}/cmdline`),
      )
    const time = ticks(`/proc/${child}/stat`)
    if (time) note(who ? `server: ${who[1]}` : 'server: backends', time.own)
  }
  return times
}

function childrenOf(pid: string): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    textOf(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean),
  )
}

/** What has ended meanwhile has none. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function ticks(path: string): { readonly own: number; readonly children: number } | null {
  // the name, in brackets, may have blanks in it
  const fields = textOf(path).split(') ')[1]?.split(' ')
  if (fields === undefined) return null
  const [user, system, childUser, childSystem] = fields.slice(11, 15).map(Number) as [
    number,
    number,
    number,
    number,
  ]
  return { own: (user + system) * tickMs, children: (childUser + childSystem) * tickMs }
}
