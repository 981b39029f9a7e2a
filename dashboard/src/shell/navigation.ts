import type { IconName } from '../ui/index.ts'

export interface Place {
  readonly path: string
  readonly title: string
  readonly icon: IconName
  /** Go there by `g` and this. */
  readonly key: string
  /** What a key has to have. */
  readonly scope: 'query' | 'admin'
}

export const places: readonly { readonly title: string; readonly places: readonly Place[] }[] = [
  {
    title: 'Numbers',
    places: [
      { path: '/explore', title: 'Explore', icon: 'explore', key: 'e', scope: 'query' },
      { path: '/boards', title: 'Boards', icon: 'boards', key: 'b', scope: 'query' },
    ],
  },
  {
    title: 'Store',
    places: [
      { path: '/storage', title: 'Storage', icon: 'storage', key: 's', scope: 'admin' },
      { path: '/aggregates', title: 'Aggregates', icon: 'aggregates', key: 'a', scope: 'admin' },
      { path: '/dead-letters', title: 'Dead letters', icon: 'letters', key: 'd', scope: 'admin' },
    ],
  },
  {
    title: 'Operations',
    places: [
      { path: '/health', title: 'Health', icon: 'health', key: 'h', scope: 'admin' },
      { path: '/jobs', title: 'Jobs', icon: 'jobs', key: 'j', scope: 'admin' },
      { path: '/keys', title: 'Keys', icon: 'keys', key: 'k', scope: 'admin' },
      { path: '/audit', title: 'Audit', icon: 'audit', key: 'u', scope: 'admin' },
    ],
  },
]
