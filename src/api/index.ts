export type { ServerOptions } from './server/index.ts'
export { createServer, serverDefaults } from './server/index.ts'
