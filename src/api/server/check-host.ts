import type { FastifyInstance } from 'fastify'
import { isLoopback, nameOfHost, type ServerConfig } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'

/**
 * Refuses requests, also those of WebSockets, that name another host than this one. A page may let its own name lead to 127.0.0.1 (DNS
 * rebinding): for the browser it then asks its own server, and no rule about origins holds it back; but the name is in `Host`. What
 * sends no `Host` is no browser.
 */
export function checkHosts(
  app: FastifyInstance,
  { auth, hosts }: Pick<ServerConfig, 'auth' | 'hosts'>,
): void {
  // whoever has to show a key gains nothing by a name; where names are declared they hold all the same
  if (auth !== null && hosts.length === 0) return
  const declared = new Set(hosts)
  const isOurs = (host: string): boolean => {
    const name = nameOfHost(host)
    // what ends in .localhost never leaves the machine (RFC 6761)
    return name !== null && (isLoopback(name) || name.endsWith('.localhost') || declared.has(name))
  }
  app.addHook('onRequest', async ({ headers: { host } }, reply) => {
    if (host === undefined || host === '' || isOurs(host)) return
    // its body is not read
    reply.header('connection', 'close')
    const names = hosts.length === 0 ? '' : ` and as ${hosts.join(', ')}`
    throw new TidemarkError('TM_FORBIDDEN', {
      what: `this server is asked as localhost${names}, and the request names the host ${JSON.stringify(host.slice(0, 100))}`,
      todo:
        auth === null
          ? 'say server.hosts: [that name] where a proxy of yours passes it on, or server.auth'
          : 'add it to server.hosts where it is a name of this server',
    })
  })
}
