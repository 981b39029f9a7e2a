/** Chosen chunks of a table by their places: from where the choice began to where the keyboard is. */
export interface Walk {
  readonly anchor: number
  readonly at: number
}

export interface WalkKey {
  readonly key: string
  readonly shiftKey: boolean
  readonly ctrlKey: boolean
  readonly metaKey: boolean
  readonly altKey: boolean
}

/** A page is that many chunks. */
const pageChunks = 10

/**
 * Where a key leads among `count` chunks; null: it means nothing here. Arrows walk, with Shift they choose what they
 * walk over, Home and End go to the ends, Ctrl+A chooses all, Escape goes back to one.
 */
export function walk(now: Walk, count: number, event: WalkKey): Walk | null {
  if (count === 0 || event.altKey) return null
  const isControl = event.ctrlKey || event.metaKey
  if (isControl) return event.key.toLowerCase() === 'a' ? { anchor: 0, at: count - 1 } : null
  if (event.key === 'Escape') return now.anchor === now.at ? null : { anchor: now.at, at: now.at }
  const to = target(now.at, count, event.key)
  if (to === null) return null
  return { anchor: event.shiftKey ? now.anchor : to, at: to }
}

function target(at: number, count: number, key: string): number | null {
  const within = (place: number): number => Math.min(count - 1, Math.max(0, place))
  switch (key) {
    case 'ArrowLeft':
      return within(at - 1)
    case 'ArrowRight':
      return within(at + 1)
    case 'PageDown':
      return within(at - pageChunks)
    case 'PageUp':
      return within(at + pageChunks)
    case 'Home':
      return 0
    case 'End':
      return count - 1
    default:
      return null
  }
}

export function chosen({ anchor, at }: Walk): { readonly first: number; readonly last: number } {
  return { first: Math.min(anchor, at), last: Math.max(anchor, at) }
}
