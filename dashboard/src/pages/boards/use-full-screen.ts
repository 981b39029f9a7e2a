import { type RefObject, useEffect, useEffectEvent } from 'react'

/**
 * Fills the screen with the element while `isFull`: the window at once, and the whole screen where the browser lets it. Everything else of the page
 * is out of reach meanwhile. Escape leaves it.
 */
export function useFullScreen(
  element: RefObject<HTMLElement | null>,
  isFull: boolean,
  onLeave: () => void,
): void {
  const leave = useEffectEvent(onLeave)
  useEffect(() => {
    if (!isFull) return
    const shut = outside(element.current)
    for (const other of shut) other.inert = true
    // a browser that refuses (no gesture, an embedded page) leaves a board that fills the window
    void document.documentElement.requestFullscreen?.().catch(() => {})
    let wasFull = false
    const changed = (): void => {
      if (document.fullscreenElement !== null) wasFull = true
      else if (wasFull) leave()
    }
    const pressed = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape' || event.defaultPrevented) return
      if (document.querySelector('dialog[open], :popover-open') === null) leave()
    }
    document.addEventListener('fullscreenchange', changed)
    addEventListener('keydown', pressed)
    return () => {
      document.removeEventListener('fullscreenchange', changed)
      removeEventListener('keydown', pressed)
      for (const other of shut) other.inert = false
      if (document.fullscreenElement !== null) void document.exitFullscreen().catch(() => {})
    }
  }, [element, isFull])
}

/** What stands beside the element and its ancestors, but for what speaks of its own accord (messages, dialogs). */
function outside(element: HTMLElement | null): HTMLElement[] {
  const found: HTMLElement[] = []
  for (let at = element; at !== null && at !== document.body; at = at.parentElement) {
    for (const other of at.parentElement?.children ?? []) {
      if (other === at || !(other instanceof HTMLElement) || other.inert) continue
      if (other.matches('dialog, [role=status], [aria-live]') || other.querySelector('[aria-live]')) continue
      found.push(other)
    }
  }
  return found
}
