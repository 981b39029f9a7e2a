export type { ServerOptions } from './server/index.ts'
export { createServer, csrfHeader, listen, serverDefaults } from './server/index.ts'
