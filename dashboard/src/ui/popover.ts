import { type RefObject, useCallback, useEffect, useRef, useState } from 'react'

export interface Popover {
  readonly button: RefObject<HTMLButtonElement | null>
  readonly popover: RefObject<HTMLDivElement | null>
  readonly isOpen: boolean
  open(then?: () => void): void
  close(): void
}

const gap = 4

/**
 * The browser's popover (it closes by Escape and by a click elsewhere), put below its button, or above where there is more room.
 *
 * @param inside what has the focus while it is open; the button has it again afterwards
 */
export function usePopover(inside?: RefObject<HTMLElement | null>): Popover {
  const button = useRef<HTMLButtonElement>(null)
  const popover = useRef<HTMLDivElement>(null)
  const [isOpen, setIsOpen] = useState(false)
  const opened = useRef<(() => void) | null>(null)
  const place = useCallback(() => {
    if (button.current === null || popover.current === null) return
    const from = button.current.getBoundingClientRect()
    const { style } = popover.current
    const { clientWidth: width, clientHeight: height } = document.documentElement
    style.maxHeight = ''
    const { offsetWidth, offsetHeight } = popover.current
    const below = height - from.bottom - 2 * gap
    const isAbove = offsetHeight > below && from.top > below
    style.left = `${Math.max(gap, Math.min(from.left, width - offsetWidth - gap))}px`
    style.maxHeight = `${Math.max(120, isAbove ? from.top - 2 * gap : below)}px`
    style.top = isAbove ? '' : `${from.bottom + gap}px`
    style.bottom = isAbove ? `${height - from.top + gap}px` : ''
  }, [])
  useEffect(() => {
    const element = popover.current
    if (element === null) return
    const toggled = (event: Event): void => {
      const isNowOpen = (event as ToggleEvent).newState === 'open'
      setIsOpen(isNowOpen)
      // a click elsewhere has given the focus to something else, which keeps it
      if (
        !isNowOpen &&
        (inside?.current?.contains(document.activeElement) || document.activeElement === document.body)
      )
        button.current?.focus()
    }
    element.addEventListener('toggle', toggled)
    return () => element.removeEventListener('toggle', toggled)
  }, [inside])
  useEffect(() => {
    if (!isOpen) return
    // what is in it is there by now
    place()
    if (popover.current?.contains(document.activeElement) === false) opened.current?.()
    opened.current = null
    addEventListener('resize', place)
    addEventListener('scroll', place, true)
    return () => {
      removeEventListener('resize', place)
      removeEventListener('scroll', place, true)
    }
  }, [isOpen, place])
  return {
    button,
    popover,
    isOpen,
    open(then) {
      if (popover.current?.matches(':popover-open') !== false) return then?.()
      opened.current = then ?? null
      popover.current.showPopover()
      place()
      then?.()
    },
    close() {
      if (popover.current?.matches(':popover-open')) popover.current.hidePopover()
    },
  }
}
