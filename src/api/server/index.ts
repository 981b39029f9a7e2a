export type { ServerOptions } from './create-server.ts'
export { createServer, serverDefaults } from './create-server.ts'
export { listen } from './listen.ts'
