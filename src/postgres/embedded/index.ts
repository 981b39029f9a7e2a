export type { EmbeddedOptions, EmbeddedServer } from './start.ts'
export { embeddedDefaults, startEmbedded } from './start.ts'
