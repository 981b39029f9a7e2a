import type { ReactNode } from 'react'
import { Skeleton } from '../../ui/index.ts'
import styles from './board.module.css'

/** The place of a board that is on its way. */
export function BoardSkeleton(): ReactNode {
  return (
    <div aria-busy="true">
      <p className="visually-hidden" role="status">
        The board is loading
      </p>
      <div className={styles['skeletonHead']}>
        <Skeleton width={260} height={30} />
        <Skeleton width={220} height={32} />
      </div>
      <div className={styles['skeletonGrid']}>
        {[0, 1, 2, 3].map((n) => (
          <Skeleton key={n} height={n < 2 ? 148 : 308} />
        ))}
      </div>
    </div>
  )
}
