import { useEffect, useEffectEvent, useRef, useState } from 'react'

/** How far it is from one cell of the grid to the next, in px, gap included. */
export function gridSteps(grid: HTMLElement): { readonly column: number; readonly line: number } {
  const style = getComputedStyle(grid)
  const gap = Number.parseFloat(style.columnGap)
  const line = Number.parseFloat(style.gridAutoRows) + Number.parseFloat(style.rowGap)
  return { column: (grid.clientWidth + gap) / 12, line }
}

type How = 'move' | 'size'

interface Drag {
  readonly id: string
  readonly how: How
  readonly pointer: number
  /** In the document, so that scrolling moves along. */
  readonly x: number
  readonly y: number
  /** In the window, of the last event. */
  last: { x: number; y: number }
  isMoving: boolean
}

/** Below it a press is a click. */
const slopPx = 4
const edgePx = 48
const mostScrollPx = 14

/**
 * Follows the pointer from the press on a handle until it is let go: with the mouse, a pen, or a finger. Near the upper and lower edge of the window
 * the page scrolls. Escape takes the drag back.
 */
export function useDrag(options: {
  onMove(id: string, how: How, by: { readonly x: number; readonly y: number }): void
  onEnd(isDone: boolean): void
}): (event: React.PointerEvent<HTMLElement>, id: string, how: How) => void {
  const drag = useRef<Drag | null>(null)
  const [isPressed, setPressed] = useState(false)

  const follow = useEffectEvent((at: Drag) => {
    const by = { x: at.last.x + scrollX - at.x, y: at.last.y + scrollY - at.y }
    if (!at.isMoving && Math.hypot(by.x, by.y) < slopPx) return
    at.isMoving = true
    options.onMove(at.id, at.how, by)
  })
  const end = useEffectEvent((isDone: boolean) => {
    const was = drag.current
    drag.current = null
    setPressed(false)
    if (was?.isMoving) options.onEnd(isDone)
  })

  useEffect(() => {
    if (!isPressed) return
    let frame = 0
    const scroll = (): void => {
      frame = requestAnimationFrame(scroll)
      const at = drag.current
      if (!at?.isMoving) return
      const { y } = at.last
      const near = y < edgePx ? y - edgePx : y > innerHeight - edgePx ? y - innerHeight + edgePx : 0
      if (near === 0) return
      const before = scrollY
      scrollBy(0, Math.max(-mostScrollPx, Math.min(mostScrollPx, near / 3)))
      if (scrollY !== before) follow(at)
    }
    const moved = (event: PointerEvent): void => {
      const at = drag.current
      if (at === null || event.pointerId !== at.pointer) return
      at.last = { x: event.clientX, y: event.clientY }
      follow(at)
    }
    const up = (event: PointerEvent): void => {
      if (event.pointerId === drag.current?.pointer) end(event.type === 'pointerup')
    }
    const pressed = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape') return
      event.preventDefault()
      end(false)
    }
    frame = requestAnimationFrame(scroll)
    addEventListener('pointermove', moved)
    addEventListener('pointerup', up)
    addEventListener('pointercancel', up)
    addEventListener('keydown', pressed)
    return () => {
      cancelAnimationFrame(frame)
      removeEventListener('pointermove', moved)
      removeEventListener('pointerup', up)
      removeEventListener('pointercancel', up)
      removeEventListener('keydown', pressed)
    }
  }, [isPressed])

  return (event, id, how) => {
    if (event.button !== 0 || drag.current !== null) return
    event.currentTarget.setPointerCapture(event.pointerId)
    const { clientX: x, clientY: y } = event
    drag.current = {
      id,
      how,
      pointer: event.pointerId,
      x: x + scrollX,
      y: y + scrollY,
      last: { x, y },
      isMoving: false,
    }
    setPressed(true)
  }
}
