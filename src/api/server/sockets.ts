import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { chooseProtocol } from './credentials.ts'

const maxFrameBytes = 1024 * 1024

/** A scope whose routes may be opened as WebSockets. There is one of them: it answers every upgrade of the server. */
export async function withSockets(
  app: FastifyInstance,
  options: { readonly bodyLimitBytes: number },
  install: (scope: FastifyInstance) => void,
): Promise<void> {
  await app.register(async (scope) => {
    await scope.register(websocket, {
      options: {
        maxPayload: Math.min(maxFrameBytes, options.bodyLimitBytes),
        perMessageDeflate: false,
        handleProtocols: chooseProtocol,
      },
    })
    install(scope)
  })
}
