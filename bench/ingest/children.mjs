// Processes of a case that listen to orders and answer: one order at a time, each answered once.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/**
 * Starts a file of this folder with its orders, and waits until it says what it is ready with.
 *
 * @returns {Promise<Child>}
 * @typedef {object} Child
 * @property {any} ready what it said first
 * @property {(order: string, more?: object) => Promise<any>} ask
 * @property {number} pid
 * @property {(signal: NodeJS.Signals) => Promise<void>} kill
 * @property {() => Promise<void>} stop asks it to end, and waits until it has
 */
export async function startChild(file, orders, { execArgv = [] } = {}) {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child = fork(path, [JSON.stringify(orders)], {
    execArgv,
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  })
  let said = ''
  child.stderr.on('data', (data) => {
    said = (said + data).slice(-4000)
  })
  const ended = once(child, 'exit')
  // whoever ends first takes the other along: a killed case leaves no server behind
  const next = async () => {
    const [message] = await Promise.race([
      once(child, 'message'),
      ended.then(([code, signal]) => {
        throw new Error(`${file} ended with ${signal ?? code}: ${said}`)
      }),
    ])
    if (message?.unforeseen !== undefined) throw new Error(`${file}: ${message.unforeseen}`)
    return message
  }
  const ready = await next()
  return {
    ready,
    pid: child.pid,
    ask: (order, more = {}) => {
      const answer = next()
      child.send({ order, ...more })
      return answer
    },
    async kill(signal) {
      child.kill(signal)
      await ended
    },
    async stop() {
      if (child.connected) child.send({ order: 'stop' })
      const timer = setTimeout(() => child.kill('SIGKILL'), 30_000)
      await ended
      clearTimeout(timer)
    },
  }
}

/** For the child: answers each order by the function of its name; ends with 'stop', and when the parent has gone. */
export function obey(ready, orders) {
  const tell = (answer) => process.connected && process.send(answer ?? null)
  let isStopping = false
  const stop = async () => {
    if (isStopping) return
    isStopping = true
    await orders.stop?.()
    process.exit(0)
  }
  process.on('disconnect', stop)
  process.on('message', async ({ order, ...more }) => {
    if (order === 'stop') return stop()
    try {
      tell(await orders[order](more))
    } catch (error) {
      tell({ unforeseen: error?.stack ?? String(error) })
    }
  })
  tell(ready)
}

/** Milliseconds of processor time of this process so far. */
export function usedMs() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
