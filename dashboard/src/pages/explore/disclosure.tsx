import { type ReactNode, useState } from 'react'
import styles from './explore.module.css'

/** Something that is there when it is asked for. */
export function Disclosure({
  title,
  children,
}: {
  readonly title: string
  readonly children: ReactNode
}): ReactNode {
  const [isOpen, setIsOpen] = useState(false)
  return (
    <details className={styles['disclosure']} onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>{title}</summary>
      {isOpen && <div className={styles['disclosed']}>{children}</div>}
    </details>
  )
}
