import type { ChunkSelection } from '../../../src/lifecycle/index.ts'
import type { InputRow } from '../tables.ts'

/** What a child is told to do. */
export type Order = { readonly table: string } & (
  | { readonly kind: 'insert' | 'upsert'; readonly rows: readonly InputRow[] }
  | { readonly kind: 'update' | 'delete' | 'erase'; readonly selection: object }
  | { readonly kind: 'import'; readonly file: string; readonly options: object }
  | { readonly kind: 'freeze' | 'thaw' | 'compact'; readonly selection: ChunkSelection }
  | { readonly kind: 'reclaim' | 'sweep' }
  | { readonly kind: 'expire'; readonly cutoff: bigint }
  | { readonly kind: 'refresh'; readonly aggregate: string }
  /** The declaration of `oracle.by_hour` becomes another, and its cells are computed until it has taken over. */
  | { readonly kind: 'redefine'; readonly variant: number }
)

/** How it ended, and how often it has asked the database and the store: places to die at. */
export type Answer = { readonly calls: number } & (
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: string; readonly message: string }
)
