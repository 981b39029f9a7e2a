// with what it adds to fastify's types: who may call a route, and who does
export { csrfHeader } from './access.ts'
export type { ServerOptions } from './create-server.ts'
export { createServer, serverDefaults } from './create-server.ts'
export { createWorkerServer } from './create-worker-server.ts'
export { listen } from './listen.ts'
