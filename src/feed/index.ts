export { type ChangeFeedOptions, createChangeFeed } from './change-feed.ts'
export type { ChangeFeed, DatasetChange, FeedEvent } from './contract.ts'
