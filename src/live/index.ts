export type {
  LiveCaller,
  LiveCounts,
  LiveEngine,
  LiveOptions,
  LiveSink,
  Subscription,
} from './contract.ts'
export { LiveHub, liveDefaults } from './hub.ts'
