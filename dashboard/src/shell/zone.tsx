import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useMemo,
  useState,
  useSyncExternalStore,
} from 'react'

const own = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
const key = 'tidemark.zone'

export interface Zone {
  /** Of IANA. */
  readonly zone: string
  readonly isUtc: boolean
  /** Between the reader's own zone and UTC. */
  toggle(): void
}
const ZoneContext = createContext<Zone>({ zone: own, isUtc: own === 'UTC', toggle: () => {} })

/** The zone that times are shown in. */
export function useZone(): Zone {
  return useContext(ZoneContext)
}

export function ZoneProvider({ children }: { readonly children: ReactNode }): ReactNode {
  const [isUtc, setIsUtc] = useState(() => own === 'UTC' || localStorage.getItem(key) === 'UTC')
  const toggle = useCallback(
    () =>
      setIsUtc((was) => {
        localStorage.setItem(key, was ? 'local' : 'UTC')
        return !was
      }),
    [],
  )
  const value = useMemo(() => ({ zone: isUtc ? 'UTC' : own, isUtc, toggle }), [isUtc, toggle])
  return <ZoneContext value={value}>{children}</ZoneContext>
}

/** The present, told again every so often: all who ask for the same pace share one timer. */
export function useNow(everyMs = 1000): number {
  const { subscribe, read } = clockOf(everyMs)
  return useSyncExternalStore(subscribe, read)
}

interface SharedClock {
  subscribe(listener: () => void): () => void
  read(): number
}
const clocks = new Map<number, SharedClock>()

function clockOf(everyMs: number): SharedClock {
  const known = clocks.get(everyMs)
  if (known !== undefined) return known
  const listeners = new Set<() => void>()
  let now = Date.now()
  let timer: ReturnType<typeof setInterval> | null = null
  const clock: SharedClock = {
    subscribe(listener) {
      if (listeners.size === 0) {
        now = Date.now()
        timer = setInterval(() => {
          now = Date.now()
          for (const each of listeners) each()
        }, everyMs)
      }
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
        if (listeners.size === 0 && timer !== null) clearInterval(timer)
      }
    },
    read: () => now,
  }
  clocks.set(everyMs, clock)
  return clock
}
