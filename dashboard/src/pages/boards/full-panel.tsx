import { type ReactNode, useEffect, useRef } from 'react'
import styles from './board.module.css'
import { useFullScreen } from './use-full-screen.ts'

/** One panel over everything else. */
export function FullPanel({
  title,
  onLeave,
  children,
}: {
  readonly title: string
  readonly onLeave: () => void
  readonly children: ReactNode
}): ReactNode {
  const element = useRef<HTMLElement>(null)
  useFullScreen(element, true, onLeave)
  useEffect(() => {
    const before = document.activeElement
    element.current?.querySelector('button')?.focus()
    // after this, what was inert can be focused again
    return () => queueMicrotask(() => before instanceof HTMLElement && before.focus())
  }, [])
  return (
    <section ref={element} className={styles['alone']} aria-label={`${title}: one panel`}>
      {children}
    </section>
  )
}
