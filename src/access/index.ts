export {
  type AccessScope,
  type Actor,
  accessScopes,
  type Credential,
  type Principal,
  type RouteAccess,
  type Verified,
} from './contract.ts'
