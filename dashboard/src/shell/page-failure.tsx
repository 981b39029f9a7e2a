import { type ReactNode, useEffect } from 'react'
import { useRouteError } from 'react-router'
import { Button, ErrorBox } from '../ui/index.ts'

/**
 * A page that cannot be drawn. Its file may have another name since the server was replaced: then it is loaded again, once; or the server
 * is gone, and whoever reloads now loses what he sees.
 */
export function PageFailure(): ReactNode {
  const error = useRouteError()
  const isMissing = error instanceof TypeError && /import|module/i.test(error.message)
  useEffect(() => {
    if (!isMissing || sessionStorage.getItem(key) === location.href) return
    const timer = setInterval(() => {
      void fetch('/healthz').then(({ ok }) => {
        if (!ok) return
        sessionStorage.setItem(key, location.href)
        location.reload()
      }, ignoreGone)
    }, 1000)
    return () => clearInterval(timer)
  }, [isMissing])
  return (
    <div style={{ padding: 24, maxWidth: 720 }}>
      <ErrorBox
        error={
          isMissing
            ? new Error('The page could not be loaded; it comes by itself when the server answers.')
            : error
        }
      />
      <Button icon="refresh" onClick={() => location.reload()}>
        Load the page again
      </Button>
    </div>
  )
}

const key = 'tidemark.reloaded'
/** It is asked again in a second. */
const ignoreGone = (): void => {}
