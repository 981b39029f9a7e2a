import { type CSSProperties, type ReactNode, useRef, useState } from 'react'
import type { Panel } from 'tidemark/client'
import { ArrangePad } from './arrange-pad.tsx'
import styles from './grid.module.css'
import { arrange, type Direction, heightOf, type Place, readingOrder, resize, step } from './layout.ts'
import { gridSteps, useDrag } from './use-drag.ts'

/** What a panel of a board that is being edited needs: to hold it by its head, or by its corner. */
export interface Handle {
  /** Of the button that holds it. */
  readonly grip: {
    readonly onPointerDown: (event: React.PointerEvent<HTMLElement>) => void
    readonly onClick: (event: React.MouseEvent) => void
    readonly onKeyDown: (event: React.KeyboardEvent) => void
    readonly 'aria-pressed': boolean
    readonly 'aria-describedby': string
  }
  readonly onCornerDown: (event: React.PointerEvent<HTMLElement>) => void
}

interface Held {
  readonly id: string
  readonly how: 'keys' | 'move' | 'size'
  /** Where everything stood when it was taken up. */
  readonly before: readonly Panel[]
  readonly panels: readonly Panel[]
  /** Of the pointer, in px from where the panel was taken up. */
  readonly by: { readonly x: number; readonly y: number }
}

const arrows: Readonly<Record<string, Direction>> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
}
const nowhere: Readonly<Record<Direction, string>> = {
  left: 'at the left edge',
  right: 'at the right edge',
  up: 'at the top',
  down: 'at the bottom',
}

export function placeText({ x, y, w, h }: Place): string {
  return `column ${x + 1} of 12, line ${y + 1}, ${w} wide, ${h} high`
}

/**
 * The panels of a board, in the order in which they are read. With `onArrange` they can be moved and resized: by the mouse, by a finger, by arrow keys
 * after their handle was pressed, and by buttons.
 */
export function Grid({
  panels,
  onArrange,
  isFull,
  children,
}: {
  readonly panels: readonly Panel[]
  readonly onArrange?: (panels: readonly Panel[], act: string) => void
  /** It fills the screen, where it is smaller. */
  readonly isFull?: boolean
  readonly children: (panel: Panel, handle: Handle | null) => ReactNode
}): ReactNode {
  const grid = useRef<HTMLDivElement>(null)
  const [held, setHeld] = useState<Held | null>(null)
  const [said, setSaid] = useState('')
  // a drag ends with a click of the same button, which is not meant
  const wasDragged = useRef(false)
  const now = held?.panels ?? panels
  const find = (list: readonly Panel[], id: string): Panel => list.find((panel) => panel.id === id) as Panel

  const putDown = (done: Held): void => {
    setHeld(null)
    const { id, before } = done
    const { title, place } = find(done.panels, id)
    const was = find(before, id).place
    setSaid(`${title} put down: ${placeText(place)}`)
    if (done.panels === before) return
    const isSized = was.w !== place.w || was.h !== place.h
    onArrange?.(done.panels, `${isSized ? 'resized' : 'moved'} “${title}”`)
  }
  const takeBack = (done: Held): void => {
    setHeld(null)
    setSaid(`${find(done.before, done.id).title} is back at ${placeText(find(done.before, done.id).place)}`)
  }
  const takeUp = (id: string): void => {
    const { title, place } = find(panels, id)
    setHeld({ id, how: 'keys', before: panels, panels, by: { x: 0, y: 0 } })
    setSaid(
      `${title} taken up: ${placeText(place)}. Arrow keys move it, with Shift they resize it. Enter puts it down, Escape takes it back.`,
    )
  }
  const go = (direction: Direction, isResize: boolean): void => {
    if (held === null) return
    const { id } = held
    const next = isResize ? resize(held.panels, id, direction) : step(held.panels, id, direction)
    const { title, place } = find(next, id)
    if (next === held.panels) {
      setSaid(isResize ? `${title} cannot be ${sizeWord[direction]}` : `${title} is ${nowhere[direction]}`)
      return
    }
    setHeld({ ...held, panels: next })
    setSaid(`${title}: ${placeText(place)}`)
    requestAnimationFrame(() =>
      grid.current?.querySelector(`[data-panel="${CSS.escape(id)}"]`)?.scrollIntoView({ block: 'nearest' }),
    )
  }
  const startDrag = useDrag({
    onMove(id, how, by) {
      wasDragged.current = true
      setHeld((was) => {
        const before = was?.before ?? panels
        const { place } = find(before, id)
        const { column, line } = gridSteps(grid.current as HTMLElement)
        const dx = Math.round(by.x / column)
        const dy = Math.round(by.y / line)
        const target =
          how === 'move'
            ? { ...place, x: place.x + dx, y: place.y + dy }
            : { ...place, w: Math.min(place.w + dx, 12 - place.x), h: place.h + dy }
        const isHome = dx === 0 && dy === 0
        return { id, how, before, by, panels: isHome ? before : arrange(before, id, target) }
      })
    },
    onEnd: (isDone) => held && held.how !== 'keys' && (isDone ? putDown(held) : takeBack(held)),
  })

  const handleOf = ({ id }: Panel): Handle => ({
    grip: {
      onPointerDown: (event) => {
        wasDragged.current = false
        if (held?.how !== 'keys') startDrag(event, id, 'move')
      },
      onClick: ({ detail }) => {
        // a press of a key is a click without a count
        if (wasDragged.current && detail > 0) wasDragged.current = false
        else if (held?.id === id) putDown(held)
        else takeUp(id)
      },
      onKeyDown: (event) => {
        if (held?.id !== id || held.how !== 'keys') return
        const direction = arrows[event.key]
        if (direction !== undefined) go(direction, event.shiftKey)
        else if (event.key === 'Escape') takeBack(held)
        else return
        event.preventDefault()
      },
      'aria-pressed': held?.id === id,
      'aria-describedby': 'arrange-help',
    },
    onCornerDown: (event) => startDrag(event, id, 'size'),
  })

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only hears that the focus has gone elsewhere
    <div
      ref={grid}
      className={styles['grid']}
      data-held={held?.how}
      data-full={isFull || undefined}
      style={{ '--lines': heightOf(now) } as CSSProperties}
      onBlur={(event) => {
        // whoever goes elsewhere has put it down
        if (held?.how !== 'keys' || event.relatedTarget === null) return
        const own = grid.current?.querySelector(`[data-panel="${CSS.escape(held.id)}"]`)
        if (!own?.contains(event.relatedTarget)) putDown(held)
      }}
    >
      {/* while one is held nothing changes its place in the document, so that the focus stays where it is */}
      {readingOrder(held?.before ?? panels).map(({ id }) => {
        const panel = find(now, id)
        const isHeld = held?.id === id
        return (
          <div
            key={id}
            data-panel={id}
            data-held={isHeld ? held.how : undefined}
            data-side={panel.place.x + panel.place.w > 8 ? 'right' : 'left'}
            className={styles['cell']}
            style={{ ...cellStyle(panel.place), ...(isHeld ? followStyle(held, panel, grid.current) : {}) }}
          >
            {children(panel, onArrange ? handleOf(panel) : null)}
            {isHeld && held.how === 'keys' && (
              <ArrangePad
                title={panel.title}
                onGo={go}
                onDone={() => putDown(held)}
                onCancel={() => takeBack(held)}
              />
            )}
          </div>
        )
      })}
      {held !== null && held.how !== 'keys' && (
        <div className={styles['target']} style={cellStyle(find(now, held.id).place)} aria-hidden />
      )}
      {onArrange && (
        <>
          <p id="arrange-help" hidden>
            Press Enter to take it up, then arrow keys to move it, and Shift with arrow keys to resize it.
          </p>
          <div role="status" aria-live="polite" className="visually-hidden">
            {said}
          </div>
        </>
      )}
    </div>
  )
}

const sizeWord: Readonly<Record<Direction, string>> = {
  left: 'narrower',
  right: 'wider',
  up: 'lower',
  down: 'higher',
}

function cellStyle({ x, y, w, h }: Place): CSSProperties {
  return { '--x': x + 1, '--y': y + 1, '--w': w, '--h': h } as CSSProperties
}

/** Under the pointer, wherever the grid would put it. */
function followStyle(held: Held, { place }: Panel, grid: HTMLElement | null): CSSProperties {
  if (grid === null || held.how === 'keys') return {}
  const { column, line } = gridSteps(grid)
  const was = (held.before.find(({ id }) => id === held.id) as Panel).place
  if (held.how === 'size') {
    return {
      '--grow-x': `${was.w * column + held.by.x - place.w * column}px`,
      '--grow-y': `${was.h * line + held.by.y - place.h * line}px`,
    } as CSSProperties
  }
  return {
    transform: `translate(${(was.x - place.x) * column + held.by.x}px, ${(was.y - place.y) * line + held.by.y}px)`,
  }
}
