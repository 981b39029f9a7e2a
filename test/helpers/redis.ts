import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { anyFreePort } from '../../src/postgres/embedded/port.ts'
import { afterFile } from './after-file.ts'

const program = '/usr/bin/redis-server'

/** Null: it is there. */
export const whyNoRedis = existsSync(program) ? null : `${program} is absent (apt-get install redis-server)`

/** Debian's redis-server on a free port of the loopback address, with a folder of its own; gone after the test file. */
export interface TestRedis {
  readonly url: string
  /** Answers nothing, and holds its connections. */
  pause(): void
  resume(): void
  /** SIGKILL; what it has not saved is lost. */
  kill(): Promise<void>
  /** Again on the same port, with what it had saved. */
  start(): Promise<void>
  /** One command, over a connection of its own; the raw reply. */
  ask(...command: readonly string[]): Promise<string>
}

/**
 * @example
 * const redis = await startRedis(['--maxmemory', '8mb'])
 * await redis.ask('PING') // '+PONG'
 */
export async function startRedis(more: readonly string[] = []): Promise<TestRedis> {
  const dir = mkdtempSync(join(tmpdir(), 'tidemark-redis-'))
  const port = await anyFreePort()
  const given = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    dir,
    '--save',
    '',
    '--appendonly',
    'no',
  ]
  let server: ChildProcess | null = null

  const ask = (...command: readonly string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1')
      let reply = ''
      socket.once('error', reject)
      socket.on('data', (data) => {
        reply += data
      })
      socket.once('end', () => resolve(reply.replace(/\+OK\r\n$/, '').trimEnd()))
      socket.write([command, ['QUIT']].map(encode).join(''))
    })
  const start = async (): Promise<void> => {
    // its own group: Ctrl-C in the terminal reaches vitest only, which stops it
    server = spawn(program, [...given, ...more], { cwd: dir, stdio: 'ignore', detached: true })
    for (let tries = 0; (await ask('PING').catch(() => '')) !== '+PONG'; tries++) {
      if (server.exitCode !== null || tries > 400) throw new Error('redis-server did not start')
      await sleep(25)
    }
  }
  const kill = async (): Promise<void> => {
    const ending = server
    if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return
    const exit = new Promise<void>((resolve) => ending.once('exit', () => resolve()))
    ending.kill('SIGKILL')
    await exit
  }
  afterFile(async () => {
    await kill()
    rmSync(dir, { recursive: true, force: true })
  })
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    pause: () => void server?.kill('SIGSTOP'),
    resume: () => void server?.kill('SIGCONT'),
    kill,
    start,
    ask,
  }
}

function encode(command: readonly string[]): string {
  return `*${command.length}\r\n${command.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`
}
