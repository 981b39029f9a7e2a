import type { TenantScope } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'

/** What a principal may do: write rows, ask, or run the place (keys, freezes, dead letters, alarms). `admin` does not hold the others. */
export const accessScopes = ['ingest', 'query', 'admin'] as const

export type AccessScope = (typeof accessScopes)[number]

/** Who asks: made of an API key, of a token, or of nothing where the server takes everybody. */
export interface Principal {
  readonly kind: 'key' | 'token' | 'session' | 'share' | 'anonymous'
  /** Of the key, or the subject of the token; what logs and the audit log say. Never a secret. */
  readonly id: string
  readonly name: string | null
  readonly tenant: TenantScope
  readonly scopes: ReadonlySet<AccessScope>
  /** Names of the datasets that it may use; null: every one. */
  readonly datasets: ReadonlySet<string> | null
}

/**
 * What a route asks of whoever calls it. `known`: that he is somebody, whatever he may do. `public`: nothing; said aloud, because a
 * route that says nothing is refused at start.
 */
export type RouteAccess = AccessScope | 'known' | 'public'

/** Somebody whose credential was good. */
export interface Verified {
  readonly principal: Principal
  /** Of the credential; null: none. */
  readonly expiresAt: Instant | null
  /** The API key behind it, also behind a session; null: a token. */
  readonly keyId: string | null
}

/** How a caller has shown who he is. */
export type Credential =
  /** An API key or a token. `isPublic`: it stands in the source of a page, where everybody can read it. */
  | { readonly kind: 'bearer'; readonly text: string; readonly isPublic?: true }
  /** The cookie of a browser that has signed in. */
  | { readonly kind: 'session'; readonly text: string }
  /** Opens one WebSocket. */
  | { readonly kind: 'ticket'; readonly text: string }

/** Who does an administrative act, for the audit log. */
export interface Actor {
  readonly kind: Principal['kind'] | 'cli'
  readonly id: string
  readonly tenant: TenantScope
  /** Null: every dataset. A restricted actor hands out no more than he has. */
  readonly datasets: ReadonlySet<string> | null
  readonly requestId: string | null
  readonly address: string | null
}
