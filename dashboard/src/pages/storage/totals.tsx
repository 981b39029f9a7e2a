import { memo, type ReactNode } from 'react'
import type { Storage } from 'tidemark/client'
import { formatBytes, formatNumber } from '../../format/index.ts'
import { Stat } from '../../ui/index.ts'
import styles from './storage.module.css'

/** The end of a long path says which it is; all of it is told when it is pointed at. */
function shortStore(store: string): string {
  const parts = store.split('/')
  return parts.length > 3 ? `the folder …/${parts.slice(-2).join('/')}` : store
}

/** Below it the next freeze may find no room. */
const leastFreeBytes = 5 * 1024 ** 3

export const Totals = memo(function Totals({ storage }: { readonly storage: Storage }): ReactNode {
  const { lake, datasets, databaseBytes } = storage
  const chunks = datasets.flatMap((dataset) => dataset.chunks)
  const known = chunks.filter(({ bytesBefore, coldBytes }) => bytesBefore !== null && coldBytes > 0)
  const before = known.reduce((sum, { bytesBefore }) => sum + (bytesBefore ?? 0), 0)
  const after = known.reduce((sum, { coldBytes }) => sum + coldBytes, 0)
  const failed = chunks.filter(({ error }) => error !== null).length
  return (
    <dl className={styles['stats']}>
      <Stat label="In PostgreSQL" value={formatBytes(databaseBytes)} hint="the whole database" />
      <Stat
        label="In the lake"
        value={formatBytes(lake.bytes)}
        hint={`${formatNumber(lake.files)} ${lake.files === 1 ? 'file' : 'files'}; ${formatBytes(lake.trash.bytes)} wait for the sweep`}
      />
      <Stat
        label="Smaller by freezing"
        value={after === 0 ? '—' : `${formatNumber(before / after, { digits: 3 })}\u00a0×`}
        hint={after === 0 ? 'nothing was frozen yet' : `${formatBytes(before)} became ${formatBytes(after)}`}
      />
      <Stat
        label="Free for the lake"
        value={formatBytes(lake.freeBytes)}
        hint={
          <span className={styles['path']} title={lake.store}>
            {lake.freeBytes < leastFreeBytes ? 'make room on its disk' : shortStore(lake.store)}
          </span>
        }
        {...(lake.freeBytes < leastFreeBytes ? { status: 'warn' as const } : {})}
      />
      <Stat
        label="Chunks"
        value={formatNumber(chunks.length)}
        hint={
          failed === 0 ? 'no move has failed' : `${formatNumber(failed)} could not be moved: choose a red one`
        }
        {...(failed === 0 ? {} : { status: 'error' as const })}
      />
    </dl>
  )
})
