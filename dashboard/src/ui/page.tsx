import type { ReactNode } from 'react'
import { useTitle } from '../shell/title.ts'
import styles from './page.module.css'

export interface PageHeaderProps {
  readonly title: string
  readonly subtitle?: ReactNode
  readonly actions?: ReactNode
}

/** The heading of a page, and what the window is called. */
export function PageHeader({ title, subtitle, actions }: PageHeaderProps): ReactNode {
  useTitle(title)
  return (
    <header className={styles['head']}>
      <div>
        <h1>{title}</h1>
        {subtitle && <p>{subtitle}</p>}
      </div>
      {actions && <div className={styles['actions']}>{actions}</div>}
    </header>
  )
}

export interface CardProps {
  readonly title?: ReactNode
  readonly actions?: ReactNode
  readonly children: ReactNode
}

export function Card({ title, actions, children }: CardProps): ReactNode {
  return (
    <section className={styles['card']}>
      {(title || actions) && (
        <header className={styles['card-head']}>
          {title && <h2>{title}</h2>}
          {actions && <div className={styles['actions']}>{actions}</div>}
        </header>
      )}
      <div className={styles['card-body']}>{children}</div>
    </section>
  )
}
