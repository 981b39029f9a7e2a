import { createHash } from 'node:crypto'
import { canonicalJson } from '../query/index.ts'
import type { CacheLayer, TenantScope } from '../schema/index.ts'
import type { EntryKey } from './contract.ts'
import { nameTag, tagsOf } from './tags.ts'

export interface Subject {
  readonly layer: CacheLayer
  /** What is asked, as JSON; the order of keys does not matter. Two routes that answer differently say so in it. */
  readonly question: unknown
  /** Whose rows are meant. */
  readonly scope: TenantScope
  /** What the asker may use; null: everything. */
  readonly restriction: ReadonlySet<string> | null
  /** Names of all tables that the answer is made of, also of those under aggregates and of plain tables that are looked up. */
  readonly datasets: readonly string[]
  /** What the change log knows nothing of; `changed` is told of it by hand. */
  readonly names: readonly string[]
}

/** Equal keys have equal answers: tenant and restriction are of every key. */
export function entryKey({ layer, question, scope, restriction, datasets, names }: Subject): EntryKey {
  const tags = [...tagsOf(datasets, scope), ...names.map(nameTag)]
  const text = canonicalJson({
    layer,
    question,
    scope,
    restriction: restriction === null ? null : [...restriction].sort(),
    tags,
  })
  return {
    layer,
    name: createHash('sha256').update(text).digest('base64url'),
    tags,
    tenant: scope.kind === 'one' ? `=${scope.tenant}` : scope.kind,
    isWatched: names.length === 0,
  }
}
