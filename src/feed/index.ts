export type { ChangeFeed, DatasetChange, FeedEvent } from './contract.ts'
