import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface RunningPrometheus {
  /** The end of what it has said. */
  log(): string
  stop(): Promise<void>
}

/** Debian's Prometheus, with its configuration and data in a folder of the test's. */
export function startPrometheus(
  program: string,
  { folder, web, config }: { readonly folder: string; readonly web: string; readonly config: string },
): RunningPrometheus {
  const file = join(folder, 'prometheus.yml')
  writeFileSync(file, config)
  const flags = [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=${web}`,
  ]
  const running = spawn(program, flags, { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  running.stderr?.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-10_000)
  })
  return {
    log: () => log,
    async stop() {
      if (running.exitCode !== null || running.signalCode !== null) return
      const ended = new Promise((resolve) => running.once('exit', resolve))
      running.kill('SIGKILL')
      await ended
    },
  }
}
