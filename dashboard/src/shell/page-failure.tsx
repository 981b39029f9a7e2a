import { type ReactNode, useEffect } from 'react'
import { useRouteError } from 'react-router'
import { Button, ErrorBox } from '../ui/index.ts'

/** A page that cannot be drawn: mostly a server that was replaced while it was open, whose files have other names now. */
export function PageFailure(): ReactNode {
  const error = useRouteError()
  const isOutdated = error instanceof TypeError && /import/i.test(error.message)
  useEffect(() => {
    if (!isOutdated || sessionStorage.getItem('tidemark.reloaded') === location.href) return
    sessionStorage.setItem('tidemark.reloaded', location.href)
    location.reload()
  }, [isOutdated])
  return (
    <div style={{ padding: 24, maxWidth: 720 }}>
      <ErrorBox
        error={isOutdated ? new Error('This page was replaced by a newer one; load it again.') : error}
      />
      <Button icon="refresh" onClick={() => location.reload()}>
        Load the page again
      </Button>
    </div>
  )
}
