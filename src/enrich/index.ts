export {
  type ApplyStep,
  type Dropped,
  dropReason,
  type EnrichOptions,
  type EnrichStep,
  type RawRow,
} from '../schema/index.ts'
export { type BotOptions, bots, createBotTest } from './bots.ts'
export { type CountryOptions, country } from './country.ts'
export { createEnricher, type EnrichedRow, type Enricher } from './enricher.ts'
export { type UrlPartsOptions, urlParts } from './url-parts.ts'
export { type UserAgentOptions, userAgent } from './user-agent.ts'
