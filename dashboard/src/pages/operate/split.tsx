import { type ReactNode, useEffect, useRef } from 'react'
import { IconButton } from '../../ui/index.ts'
import styles from './operate.module.css'

/**
 * A list, and beside it (above it where there is no room) what was chosen of it. The choice takes the focus and gives it back; Escape
 * closes it.
 */
export function Split({
  children,
  detail,
  title,
  choice,
  onClose,
}: {
  readonly children: ReactNode
  /** Null: nothing is chosen. */
  readonly detail: ReactNode | null
  readonly title: string
  /** What is chosen: another choice takes the focus anew. */
  readonly choice: string
  onClose(): void
}): ReactNode {
  const heading = useRef<HTMLHeadingElement>(null)
  const before = useRef<HTMLElement | null>(null)
  const isOpen = detail !== null
  // biome-ignore lint/correctness/useExhaustiveDependencies: another choice takes the focus anew
  useEffect(() => {
    if (!isOpen) return
    if (document.activeElement instanceof HTMLElement && before.current === null)
      before.current = document.activeElement
    heading.current?.focus({ preventScroll: true })
    heading.current?.scrollIntoView({ block: 'nearest' })
  }, [isOpen, choice])
  const close = (): void => {
    const back = before.current
    before.current = null
    onClose()
    // after the list has the room again
    requestAnimationFrame(() => {
      if (back?.isConnected) back.focus()
    })
  }
  return (
    <div className={styles['split']} data-open={isOpen}>
      <div className={styles['list']}>{children}</div>
      {isOpen && (
        <section
          className={styles['detail']}
          aria-label={title}
          onKeyDown={(event) => {
            if (event.key !== 'Escape' || event.defaultPrevented) return
            event.stopPropagation()
            close()
          }}
        >
          <header className={styles['detailHead']}>
            <h2 ref={heading} tabIndex={-1}>
              {title}
            </h2>
            <IconButton label="Close" icon="close" onClick={close} />
          </header>
          {detail}
        </section>
      )}
    </div>
  )
}
