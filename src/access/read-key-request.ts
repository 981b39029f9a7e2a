import type { TenantScope } from '../schema/index.ts'
import { approximateMicros, type Instant, parseInterval, parsePoint, TimeProblem } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { defaultOverlapMs, type NewKey } from './api-keys.ts'
import { type AccessScope, accessScopes } from './contract.ts'

export interface KeyRequestContext {
  readonly now: Instant
  /** Of whoever asks. */
  readonly tenant: TenantScope
  /** Whether any declared table has one: then whose rows a key means has to be said. */
  readonly hasTenants: boolean
}

const fields = ['name', 'scopes', 'tenant', 'allTenants', 'datasets', 'expires']

/**
 * A key as people ask for it: `{ name, scopes, tenant | allTenants, datasets, expires }`. `expires` is a time, or how long from now.
 *
 * @throws TidemarkError TM_QUERY with the path of what is wrong.
 */
export function readNewKey(input: unknown, context: KeyRequestContext): NewKey {
  const given = readObject(input, fields)
  const { name, tenant, allTenants, datasets, expires } = given
  if (typeof name !== 'string') throw refused('name', 'is missing; say what the key is for')
  const { scopes } = given
  const areScopes =
    isTexts(scopes) && scopes.every((word) => (accessScopes as readonly string[]).includes(word))
  if (!areScopes) throw refused('scopes', `must be a list of ${accessScopes.join(', ')}`)
  if (allTenants !== undefined && typeof allTenants !== 'boolean')
    throw refused('allTenants', 'must be true or false')
  if (tenant !== undefined && tenant !== null && typeof tenant !== 'string')
    throw refused('tenant', 'must be a text')
  if (datasets !== undefined && datasets !== null && !isTexts(datasets))
    throw refused('datasets', 'must be a list of names of datasets')
  return {
    name,
    scopes: scopes as readonly AccessScope[],
    tenant: tenantOf(tenant ?? null, allTenants === true, context),
    datasets: datasets ?? null,
    expiresAt: expires === undefined || expires === null ? null : readExpiry(expires, context.now),
  }
}

/** `'24 hours'` or `'0'`: how long the secret before goes on. @throws TidemarkError TM_QUERY */
export function readOverlap(input: unknown): number {
  if (input === undefined || input === null) return defaultOverlapMs
  if (input === '0' || input === 0) return 0
  return inTime('overlap', () => Number(approximateMicros(parseInterval(input as string)) / 1000n))
}

/** The body of a rotation. @throws TidemarkError TM_QUERY */
export function readRotation(input: unknown): { readonly overlapMs: number } {
  return { overlapMs: readOverlap(readObject(input ?? {}, ['overlap'])['overlap']) }
}

function readExpiry(input: unknown, now: Instant): Instant {
  if (typeof input !== 'string') throw refused('expires', 'must be a time, or how long from now: "90 days"')
  const isLength = /^\s*\d+\s*[a-zµμ]+\s*$/i.test(input)
  return inTime('expires', () => parsePoint(isLength ? `+${input.trim()}` : input, now, null))
}

function tenantOf(
  tenant: string | null,
  allTenants: boolean,
  { tenant: own, hasTenants }: KeyRequestContext,
): TenantScope {
  if (tenant !== null && allTenants)
    throw refused('tenant', 'is given together with allTenants; say one of them')
  if (tenant !== null) return { kind: 'one', tenant }
  if (allTenants) return { kind: 'all' }
  if (own.kind === 'one') return own
  if (hasTenants)
    throw refused('tenant', 'is missing; say whose rows the key means, or allTenants for those of everybody')
  return { kind: 'all' }
}

function readObject(input: unknown, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw refused('body', `must be an object with ${known.join(', ')}`)
  for (const key of Object.keys(input))
    if (!known.includes(key)) throw refused(key, `is not known; known: ${known.join(', ')}`)
  return input as Readonly<Record<string, unknown>>
}

function inTime<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof TimeProblem) throw refused(path, error.problem)
    throw error
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function refused(path: string, problem: string): TidemarkError {
  return new TidemarkError('TM_QUERY', { path, problem })
}
