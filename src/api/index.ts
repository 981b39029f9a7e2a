export type { ServerOptions } from './server/index.ts'
export { createServer, listen, serverDefaults } from './server/index.ts'
