import type { ApiKeyEntry } from 'tidemark/client'

export interface KeyStatus {
  readonly kind: 'ok' | 'warn' | 'error' | 'info' | 'quiet'
  readonly label: string
  /** Whether its secret is taken now. */
  readonly isGood: boolean
}

const soonMs = 14 * 86_400_000

/** How a key is at this moment: what ends it first is said first. */
export function statusOf(key: ApiKeyEntry, now: number): KeyStatus {
  if (key.revokedAt !== null) return { kind: 'quiet', label: 'revoked', isGood: false }
  const endsIn = key.expiresAt === null ? null : Date.parse(key.expiresAt) - now
  if (endsIn !== null && endsIn <= 0) return { kind: 'error', label: 'expired', isGood: false }
  if (endsIn !== null && endsIn < soonMs) return { kind: 'warn', label: 'expires soon', isGood: true }
  if (key.overlapUntil !== null && Date.parse(key.overlapUntil) > now)
    return { kind: 'info', label: 'two secrets', isGood: true }
  return { kind: 'ok', label: 'good', isGood: true }
}

/** What the fields of the form come to, or what is wrong with one of them. */
export interface KeyDraft {
  readonly name: string
  readonly scopes: readonly ('ingest' | 'query' | 'admin')[]
  readonly whose: 'own' | 'one' | 'all'
  readonly tenant: string
  readonly datasets: readonly string[]
  /** '' never, `90 days`, or `at`: `expiresAt`. */
  readonly expires: string
  /** YYYY-MM-DD */
  readonly expiresAt: string
}

export const emptyDraft: KeyDraft = {
  name: '',
  scopes: [],
  whose: 'own',
  tenant: '',
  datasets: [],
  expires: '90 days',
  expiresAt: '',
}

export function problemsOf(
  draft: KeyDraft,
  now: number,
): Partial<Record<'name' | 'scopes' | 'tenant' | 'expiresAt', string>> {
  const name = draft.name.trim()
  return {
    ...(name === '' ? { name: 'Say what uses it: “collector in Frankfurt”.' } : {}),
    ...(name.length > 100 ? { name: 'At most 100 characters.' } : {}),
    ...(draft.scopes.length === 0 ? { scopes: 'Choose what it may do.' } : {}),
    ...(draft.whose === 'one' && draft.tenant.trim() === '' ? { tenant: 'Say which tenant.' } : {}),
    ...(draft.expires === 'at' && !(Date.parse(`${draft.expiresAt}T23:59:59Z`) > now)
      ? { expiresAt: 'Choose a day that is not over.' }
      : {}),
  }
}

/** As the server takes it. */
export function wantedOf(draft: KeyDraft): {
  name: string
  scopes: KeyDraft['scopes']
  tenant?: string
  allTenants?: boolean
  datasets?: readonly string[]
  expires?: string
} {
  return {
    name: draft.name.trim(),
    scopes: draft.scopes,
    ...(draft.whose === 'one' ? { tenant: draft.tenant.trim() } : {}),
    ...(draft.whose === 'all' ? { allTenants: true } : {}),
    ...(draft.datasets.length > 0 ? { datasets: draft.datasets } : {}),
    ...(draft.expires === ''
      ? {}
      : { expires: draft.expires === 'at' ? `${draft.expiresAt}T23:59:59Z` : draft.expires }),
  }
}
