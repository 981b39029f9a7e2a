import type { ReactNode } from 'react'
import styles from './operate.module.css'

/** Names and values, one under the other; what is null is left out. */
export function Facts({
  of,
}: {
  readonly of: readonly (readonly [name: string, value: ReactNode | null])[]
}): ReactNode {
  return (
    <dl className={styles['facts']}>
      {of
        .filter(([, value]) => value !== null)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  )
}
