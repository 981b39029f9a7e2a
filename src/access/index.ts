export { type AccessScope, accessScopes, type Principal, type RouteAccess } from './contract.ts'
