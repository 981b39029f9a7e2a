export type { PostgresSnapshot, ReadSnapshotOptions } from './read-snapshot.ts'
export { withReadSnapshot } from './read-snapshot.ts'
export type { HotTierOptions } from './tier.ts'
export { createHotTier, hotTierDefaults } from './tier.ts'
