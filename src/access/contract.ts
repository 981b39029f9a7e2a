import type { TenantScope } from '../schema/index.ts'

/** What a principal may do: write rows, ask, or run the place (keys, freezes, dead letters, alarms). `admin` does not hold the others. */
export const accessScopes = ['ingest', 'query', 'admin'] as const

export type AccessScope = (typeof accessScopes)[number]

/** Who asks: made of an API key, of a token, or of nothing where the server takes everybody. */
export interface Principal {
  readonly kind: 'key' | 'token' | 'session' | 'anonymous'
  /** Of the key, or the subject of the token; what logs and the audit log say. Never a secret. */
  readonly id: string
  readonly name: string | null
  readonly tenant: TenantScope
  readonly scopes: ReadonlySet<AccessScope>
  /** Names of the datasets that it may use; null: every one. */
  readonly datasets: ReadonlySet<string> | null
}

/** What a route asks of whoever calls it. `public`: nothing; said aloud, because a route that says nothing is refused at start. */
export type RouteAccess = AccessScope | 'public'
