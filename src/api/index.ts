export type { ServerOptions } from './server/index.ts'
export { createServer, createWorkerServer, csrfHeader, listen, serverDefaults } from './server/index.ts'
