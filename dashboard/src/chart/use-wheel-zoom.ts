import { type RefObject, useEffect, useEffectEvent } from 'react'
import type uPlot from 'uplot'

/** With Ctrl or ⌘ the wheel zooms around the pointer: at once in what is there, and asked anew when it rests. */
export function useWheelZoom(
  box: RefObject<HTMLDivElement | null>,
  plot: RefObject<uPlot | null>,
  zoom: ((from: number, to: number) => void) | null,
): void {
  const ask = useEffectEvent((from: number, to: number) => zoom?.(from, to))
  const isOn = zoom !== null
  useEffect(() => {
    const element = box.current
    if (element === null || !isOn) return
    let rest: ReturnType<typeof setTimeout> | null = null
    const onWheel = (event: WheelEvent): void => {
      const u = plot.current
      if (u === null || !(event.ctrlKey || event.metaKey)) return
      event.preventDefault()
      const { min, max } = u.scales['x'] as { min: number; max: number }
      const at = u.posToVal(event.clientX - u.over.getBoundingClientRect().left, 'x')
      const factor = event.deltaY < 0 ? 0.8 : 1.25
      const [from, to] = [at - (at - min) * factor, at + (max - at) * factor]
      if (to - from < 1) return
      u.setScale('x', { min: from, max: to })
      if (rest !== null) clearTimeout(rest)
      rest = setTimeout(() => ask(from, to), 350)
    }
    element.addEventListener('wheel', onWheel, { passive: false })
    return () => {
      element.removeEventListener('wheel', onWheel)
      if (rest !== null) clearTimeout(rest)
    }
  }, [box, plot, isOn])
}
