// Stands between the server and its database: what it cuts looks to both like a broken network.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** @param {number} target port of loopback */
export async function startProxy(target) {
  const pairs = new Set()
  /** Bytes that may still pass towards the database before the connection that sends the next one is cut; null: any number. */
  let left = null
  let cuts = 0
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    const pair = { client, upstream }
    pairs.add(pair)
    const close = () => {
      pairs.delete(pair)
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) socket.on('error', close).on('close', close)
    upstream.pipe(client)
    client.on('data', (data) => {
      if (left !== null) {
        left -= data.length
        if (left <= 0) {
          left = null
          cuts += 1
          // a part of the message has gone out: the server is in the middle of a row
          upstream.write(data.subarray(0, data.length >> 1), close)
          return
        }
      }
      if (!upstream.write(data)) {
        client.pause()
        upstream.once('drain', () => client.resume())
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: server.address().port,
    get cuts() {
      return cuts
    },
    /** Cuts the connection over which the byte after so many goes. */
    cutAfter(bytes) {
      left = bytes
    },
    /** Cuts all there are. */
    cutAll() {
      cuts += pairs.size
      for (const { client, upstream } of pairs) {
        client.destroy()
        upstream.destroy()
      }
    },
    async stop() {
      left = null
      for (const { client, upstream } of pairs) {
        client.destroy()
        upstream.destroy()
      }
      server.close()
      await once(server, 'close')
    },
  }
}
