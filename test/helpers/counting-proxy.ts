import { connect, createServer, type Server, type Socket } from 'node:net'

/** Passes everything on, counts the server's "ready for the next", and can cut what is said with a word. */
export class CountingProxy {
  ready = 0
  cutAt: string | null = null
  cuts = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  readonly #target: URL

  constructor(connectionString: string) {
    const target = new URL(connectionString)
    this.#target = target
    this.#server = createServer((client) => {
      const server = connect(Number(target.port || 5432), target.hostname)
      for (const socket of [client, server]) {
        this.#sockets.add(socket)
        socket.on('error', () => {})
      }
      client.on('data', (bytes) => {
        if (this.cutAt === null || !bytes.includes(this.cutAt)) server.write(bytes)
        else {
          this.cuts += 1
          client.destroy()
        }
      })
      server.on('data', (bytes) => {
        // ReadyForQuery is Z, a length of 5, and the state; nothing else of these tests has that in it
        for (let at = bytes.indexOf('Z\0\0\0\x05'); at >= 0; at = bytes.indexOf('Z\0\0\0\x05', at + 1))
          this.ready += 1
        client.write(bytes)
      })
      client.on('close', () => server.destroy())
      server.on('close', () => client.destroy())
    })
  }

  /** The connection string that leads through it. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const through = new URL(this.#target)
    through.hostname = '127.0.0.1'
    through.port = String((this.#server.address() as { port: number }).port)
    return through.href
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
