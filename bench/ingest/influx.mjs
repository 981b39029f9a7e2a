// Debian's InfluxDB 1.6 as it comes, on loopback, with its data in a folder of the case: apt-get install -y influxdb
import { spawn } from 'node:child_process'
import { existsSync, openSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processMs } from '../harness.mjs'
import { freePort } from './ports.mjs'

const program = '/usr/bin/influxd'

/** Null where it is not installed. */
export async function startInflux(dir) {
  if (!existsSync(program)) return null
  const [http, rpc] = [await freePort(), await freePort()]
  const home = join(dir, 'influx')
  await mkdir(home, { recursive: true })
  const config = join(home, 'influxdb.conf')
  await writeFile(
    config,
    `reporting-disabled = true
bind-address = "127.0.0.1:${rpc}"
[meta]
  dir = "${home}/meta"
[data]
  dir = "${home}/data"
  wal-dir = "${home}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:${http}"
  log-enabled = false
[monitor]
  store-enabled = false
`,
  )
  const log = openSync(join(home, 'influxd.log'), 'a')
  const child = spawn(program, ['-config', config], { stdio: ['ignore', log, log] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const stopWithUs = () => child.kill('SIGKILL')
  process.once('exit', stopWithUs)
  const url = `http://127.0.0.1:${http}`
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`${url}/ping`).catch(() => null)
    if (answer?.status === 204) break
    if (child.exitCode !== null || tries > 200)
      throw new Error(`influxd did not start; its log is in ${home}`)
    await sleep(100)
  }
  const ask = async (q) => {
    const answer = await fetch(`${url}/query?db=bench&q=${encodeURIComponent(q)}`, { method: 'POST' })
    const { results, error } = await answer.json()
    const problem = error ?? results[0].error
    if (problem !== undefined) throw new Error(`influxd: ${q}: ${problem}`)
    return results[0].series?.[0]
  }
  return {
    url,
    ask,
    usedMs: () => processMs(child.pid),
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(stopWithUs, 20_000)
      await ended
      clearTimeout(timer)
      process.off('exit', stopWithUs)
    },
  }
}
