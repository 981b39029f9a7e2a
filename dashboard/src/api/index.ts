export { isGone, isSignedOut, MeContext, may, useDatasets, useMe } from './hooks.ts'
export { ApiProvider, useClient } from './provider.tsx'
