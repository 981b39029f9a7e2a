export { AccessDesk } from './access-desk.ts'
export { type ApiKey, ApiKeys, defaultOverlapMs, type IssuedKey, type NewKey } from './api-keys.ts'
export { type AuditChoice, type AuditEntry, AuditLog, type AuditRecord } from './audit-log.ts'
export { Authenticator, type AuthenticatorOptions, type SessionStore } from './authenticator.ts'
export {
  type AccessScope,
  type Actor,
  accessScopes,
  type Credential,
  type Principal,
  type RouteAccess,
  type Verified,
} from './contract.ts'
export type { IssuedPass } from './passes.ts'
export { type RateAnswer, type RateLimiter, TokenBuckets } from './rate-limit.ts'
export { type KeyRequestContext, readNewKey, readOverlap, readRotation } from './read-key-request.ts'
export { withoutSecrets } from './redact.ts'
export { hashOf, isSecretForm, newKeyId, newSecret } from './secret.ts'
export type { FetchKeys } from './token-keys.ts'
