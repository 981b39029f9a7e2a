import { type ReactNode, useEffect, useId, useRef, useState } from 'react'
import type { Panel } from 'tidemark/client'
import { Menu, type MenuItem } from '../../ui/index.ts'
import type { Handle } from './grid.tsx'
import styles from './panel-frame.module.css'

/** What is around the drawing of a panel: its title, its note, what can be done with it, and its handles while the board is edited. */
export function PanelFrame({
  panel,
  items,
  handle,
  actions,
  isFull,
  children,
}: {
  readonly panel: Panel
  readonly items: readonly MenuItem[]
  readonly handle: Handle | null
  readonly actions?: ReactNode
  readonly isFull?: boolean
  readonly children: ReactNode
}): ReactNode {
  const id = useId()
  const article = useRef<HTMLElement>(null)
  const isSeen = useSeen(article)
  const title = panel.title === '' ? panel.query.dataset : panel.title
  return (
    <article
      ref={article}
      className={styles['panel']}
      aria-labelledby={id}
      data-editing={handle ? true : undefined}
      data-full={isFull || undefined}
      data-chart={panel.chart}
    >
      <header className={styles['head']}>
        {handle && (
          <button
            type="button"
            className={styles['grip']}
            aria-label={`Move or resize ${title}`}
            title="Drag to move; Enter for arrow keys"
            {...handle.grip}
          >
            <Grip />
          </button>
        )}
        <div className={styles['words']}>
          <h2 id={id} title={title}>
            {title}
          </h2>
          {panel.note !== undefined && <p title={panel.note}>{panel.note}</p>}
        </div>
        {actions}
        {items.length > 0 && (
          <div className={styles['menu']}>
            <Menu label={`Do something with ${title}`} icon="more" kind="quiet" small items={items} />
          </div>
        )}
      </header>
      <div className={styles['body']}>{isSeen && children}</div>
      {handle && <div className={styles['corner']} onPointerDown={handle.onCornerDown} aria-hidden />}
    </article>
  )
}

/** Six dots: what everybody knows as something to hold. */
function Grip(): ReactNode {
  return (
    <svg width="10" height="16" viewBox="0 0 10 16" fill="currentColor" aria-hidden="true">
      {[2, 8].flatMap((x) => [3, 8, 13].map((y) => <circle key={`${x} ${y}`} cx={x} cy={y} r="1.5" />))}
    </svg>
  )
}

/** Whether it has come near the window: what nobody has scrolled to is not asked for. */
function useSeen(element: React.RefObject<HTMLElement | null>): boolean {
  const [isSeen, setSeen] = useState(false)
  useEffect(() => {
    if (isSeen || element.current === null) return
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some(({ isIntersecting }) => isIntersecting)) setSeen(true)
      },
      { rootMargin: '600px' },
    )
    observer.observe(element.current)
    return () => observer.disconnect()
  }, [element, isSeen])
  return isSeen
}
