// What every case shares: interleaved runs, medians, the machine, and how results are kept and shown.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem, type } from 'node:os'

/** Where results are kept: one file for each case, overwritten by the next run. */
export const resultsDir = new URL('./results/', import.meta.url)

/**
 * Runs the variants in turn, `rounds` times, so that whatever disturbs the machine disturbs all of them; the order
 * turns with each round. The first round warms up and does not count. What a variant does `before` and `after` is not
 * timed.
 *
 * @param {Record<string, Run | { before?: Run, run: Run, after?: Run }>} variants each gets the number of the round
 * @param {{ rounds?: number, maxMs?: number, spent?: Awaited<ReturnType<typeof processorTime>> }} options `maxMs` ends
 * the rounds early, after at least 5; with `spent` each timing has the mean processor time of a run, server and client.
 * @returns {Promise<Record<string, Timing>>} milliseconds
 *
 * @typedef {(round: number) => unknown} Run
 * @typedef {{ median: number, least: number, p90: number, runs: number }} Timing
 */
export async function interleave(variants, { rounds = 31, maxMs = 20_000, spent } = {}) {
  const names = Object.keys(variants)
  const times = Object.fromEntries(names.map((name) => [name, []]))
  const processor = Object.fromEntries(names.map((name) => [name, 0]))
  const total = () => {
    const { server, client } = spent()
    return (server ?? Number.NaN) + client
  }
  const started = performance.now()
  for (let round = 0; round <= rounds; round++) {
    if (round > 5 && performance.now() - started > maxMs) break
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length]
      const variant = variants[name]
      const { before, run, after } = typeof variant === 'function' ? { run: variant } : variant
      await before?.(round)
      const usedBefore = spent ? total() : 0
      const startedAt = performance.now()
      await run(round)
      const ms = performance.now() - startedAt
      if (spent && round > 0) processor[name] += total() - usedBefore
      await after?.(round)
      if (round > 0) times[name].push(ms)
    }
  }
  return Object.fromEntries(
    names.map((name) => [
      name,
      { ...summarize(times[name]), ...(spent && { processorMs: processor[name] / times[name].length }) },
    ]),
  )
}

/** @param {number[]} list */
export function summarize(list) {
  const sorted = [...list].sort((a, b) => a - b)
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
  return { median: at(0.5), least: sorted[0], p90: at(0.9), runs: sorted.length }
}

/**
 * Gives a function that tells how many milliseconds of processor time the server (every process of it) and this process
 * with its children have used so far. Unlike the time on the wall, they hardly depend on what else the machine does. The
 * server's is null where its processes are not to be seen: another machine, another system than Linux.
 *
 * @returns {Promise<() => { server: number | null, client: number }>}
 */
export async function processorTime(db) {
  const { rows } = await db.query(text('select pg_backend_pid()'))
  const postmaster = procStat(rows[0][0])?.parent
  const isLocal = postmaster !== undefined && procStat(postmaster)?.name.startsWith('postgres')
  return () => {
    const own = process.cpuUsage()
    const children = procStat(process.pid)?.reapedMs ?? 0
    return {
      server: isLocal ? serverMs(postmaster) : null,
      client: (own.user + own.system) / 1000 + children,
    }
  }
}

function serverMs(postmaster) {
  let total = procStat(postmaster)?.reapedMs ?? 0
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const process = procStat(name)
    if (process?.parent === postmaster) total += process.ownMs
  }
  return total
}

/** Milliseconds of processor time of a process so far; null where it is not to be seen. */
export function processMs(pid) {
  return procStat(pid)?.ownMs ?? null
}

/** proc(5); a tick is 10 ms on every Linux that matters. */
function procStat(pid) {
  let stat
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    // It has ended, or there is no /proc.
    return undefined
  }
  const [name, rest] = [
    stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')),
    stat.slice(stat.lastIndexOf(')') + 2),
  ]
  const fields = rest.split(' ').map(Number)
  return {
    name,
    parent: fields[1],
    ownMs: (fields[11] + fields[12]) * 10,
    reapedMs: (fields[13] + fields[14]) * 10,
  }
}

/** What the figures depend on. */
export async function machine(db) {
  const { rows } = await db.query(
    text(
      `select current_setting('server_version'), current_setting('shared_buffers'), current_setting('fsync')`,
    ),
  )
  const [version, sharedBuffers, fsync] = rows[0]
  let commit = 'unknown'
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: new URL('..', import.meta.url),
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .toString()
      .trim()
  } catch {
    // A tarball has no history; the figures are right without it.
  }
  return {
    measuredAt: new Date().toISOString(),
    commit,
    cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
    postgres: version,
    sharedBuffers,
    fsync,
    loadAverage: loadavg().map((load) => Math.round(load * 10) / 10),
  }
}

/** Every figure of a case, for later comparisons. */
export async function keepResults(name, result) {
  await mkdir(resultsDir, { recursive: true })
  await writeFile(new URL(`${name}.json`, resultsDir), `${JSON.stringify(result, null, 2)}\n`)
}

export async function readResults(name) {
  return JSON.parse(await readFile(new URL(`${name}.json`, resultsDir), 'utf8'))
}

/**
 * A table for docs/benchmarks.md.
 *
 * @param {readonly string[]} head
 * @param {readonly (readonly (string | number)[])[]} rows
 */
export function markdownTable(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** Three digits that mean something: 0.612, 6.12, 61.2, 612. */
export function ms(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** A statement of our own text, without parameters. */
export function text(statement) {
  return { kind: 'sql', parts: [{ kind: 'text', text: statement }] }
}
