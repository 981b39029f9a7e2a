import { Option } from 'commander'

import { type LogLevel, logLevels, type TidemarkConfig } from '../schema/index.ts'
import type { Output } from './output.ts'

export interface LogOptions {
  readonly logLevel?: LogLevel
}

export function logLevelOption(): Option {
  return new Option('--log-level <level>', 'what is logged (default: of the configuration, info)').choices(
    logLevels,
  )
}

/** The log of a command that stays up: lines for people on a terminal, else (and with --json) one JSON object a line. */
export async function openLog(
  config: TidemarkConfig,
  { logLevel }: LogOptions,
  output: Output,
  stream: NodeJS.WriteStream = process.stderr,
): Promise<Log> {
  // commands that do not stay up start without it
  const { createLogger, jobLog } = await import('../observe/index.ts')
  const log = createLogger({
    level: logLevel ?? config.server.logLevel,
    format: output.isJson || !stream.isTTY ? 'json' : 'human',
    write: (line) => void stream.write(line),
  })
  return { log, jobs: jobLog(log) }
}

export interface Log {
  readonly log: ReturnType<typeof import('../observe/index.ts')['createLogger']>
  /** For a worker. */
  readonly jobs: ReturnType<typeof import('../observe/index.ts')['jobLog']>
}
