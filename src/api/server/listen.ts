import type { FastifyInstance } from 'fastify'
import { TidemarkError } from '../../util/errors.ts'
import { assertLoopback } from './install-access.ts'

const problems: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken by another program; name another port, or 0 for a free one',
  EACCES: 'may not be listened on by this user; name a port from 1024 on',
  EADDRNOTAVAIL: 'is no address of this machine',
  ENOTFOUND: 'is no address that can be found',
}

/**
 * Listens and gives the address, `http://127.0.0.1:4680`.
 *
 * @throws TidemarkError TM_CONFIG when the address cannot be had, or others could reach a server that asks nobody who he is.
 */
export async function listen(
  app: FastifyInstance,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<string> {
  if (app.hasDecorator('isForThisMachine')) assertLoopback(host)
  try {
    return await app.listen({ host, port })
  } catch (error) {
    const problem = problems[(error as NodeJS.ErrnoException).code ?? '']
    if (problem === undefined) throw error
    throw new TidemarkError(
      'TM_CONFIG',
      { path: 'server', problem: `${host}:${port} ${problem}` },
      { cause: error },
    )
  }
}
