// The two servers that are asked: Tidemark as `tidemark dev` runs it, with its worker and its log, and what somebody would write by hand.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** `tidemark dev` of a build, whose configuration lies in `dir`. @returns {Promise<RunningServer>} */
export async function startTidemark({ root, connectionString, dir }) {
  const config = join(dir, 'tidemark.config.mjs')
  const tables = new URL('tables.mjs', import.meta.url).href
  await writeFile(
    config,
    `import * as api from '${new URL('index.js', root).href}'
import { rankConfig } from '${tables}'
export default rankConfig(api)
`,
  )
  const cli = fileURLToPath(new URL('cli/main.js', root))
  const env = { ...process.env, DATABASE_URL: connectionString, REDIS_URL: '' }
  return start('tidemark dev', [cli, '--config', config, '--json', 'dev', '--port', '0'], {
    env,
    log: join(dir, 'tidemark.log'),
  })
}

/** @returns {Promise<RunningServer>} */
export function startPlain({ connectionString, dir, keys }) {
  const child = fileURLToPath(new URL('plain-server.mjs', import.meta.url))
  return start('the plain server', [child], {
    env: { ...process.env, PLAIN_ORDERS: JSON.stringify({ connectionString, keys }) },
    log: join(dir, 'plain.log'),
  })
}

/**
 * A program that says its address as JSON on standard output when it answers, and ends by SIGTERM.
 *
 * @typedef {{ url: string, pid: number, stop: () => Promise<void> }} RunningServer
 */
async function start(what, args, { env, log }) {
  const errors = openSync(log, 'w')
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', errors] })
  closeSync(errors)
  const ended = once(child, 'exit')
  const failed = ended.then(async ([code, signal]) => {
    throw new Error(`${what} ended with ${signal ?? code}: ${(await readFile(log, 'utf8')).slice(-4000)}`)
  })
  failed.catch(() => {})
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), failed])
  const { address } = JSON.parse(line)
  if (address === undefined) await failed
  return {
    url: address,
    pid: child.pid,
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 30_000)
      await ended
      clearTimeout(timer)
    },
  }
}
