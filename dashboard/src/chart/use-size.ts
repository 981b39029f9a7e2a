import { type RefObject, useLayoutEffect, useState, useSyncExternalStore } from 'react'

/** The width of an element in CSS pixels; 0 until it is known. */
export function useSize(element: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0)
  useLayoutEffect(() => {
    if (element.current === null) return
    setWidth(Math.floor(element.current.clientWidth))
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.floor(entry.contentRect.width))
    })
    observer.observe(element.current)
    return () => observer.disconnect()
  }, [element])
  return width
}

function watchTheme(listener: () => void): () => void {
  const observer = new MutationObserver(listener)
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] })
  return () => observer.disconnect()
}

/** Canvases do not follow the theme by themselves. */
export function useThemeName(): string {
  return useSyncExternalStore(watchTheme, () => document.documentElement.dataset['theme'] ?? '')
}
