import { useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useEffect, useState } from 'react'
import { isGone, useClient } from '../api/index.ts'
import { Icon } from '../ui/icon.tsx'
import styles from './connection.module.css'

const askEveryMs = 2000

/** Says that the server is gone, and when it is back lets the page ask again what it has asked. */
export function Connection(): ReactNode {
  const client = useClient()
  const queries = useQueryClient()
  const [isLost, setIsLost] = useState(false)
  useEffect(
    () =>
      queries.getQueryCache().subscribe(({ query }) => {
        if (query.state.status === 'error' || query.state.fetchFailureCount > 0) {
          if (isGone(query.state.error ?? query.state.fetchFailureReason)) setIsLost(true)
        }
      }),
    [queries],
  )
  useEffect(() => {
    if (!isLost) return
    const timer = setInterval(() => {
      client.session.me().then(
        () => {
          setIsLost(false)
          void queries.invalidateQueries()
        },
        (error: unknown) => {
          // it answers, if only with a refusal: the page tells that one
          if (isGone(error)) return
          setIsLost(false)
          void queries.invalidateQueries()
        },
      )
    }, askEveryMs)
    return () => clearInterval(timer)
  }, [isLost, client, queries])
  return (
    <div role="status" aria-live="polite">
      {isLost && (
        <div className={styles['banner']}>
          <Icon name="warning" />
          <span>
            The server does not answer. What you see may be old; this page asks again every two seconds.
          </span>
        </div>
      )}
    </div>
  )
}
