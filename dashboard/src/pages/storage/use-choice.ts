import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { useSearchParams } from 'react-router'
import type { Choice, Lane } from './chunk-model.ts'
import type { Span } from './time-axis.ts'

export interface PageState {
  /** Null: no chunk is chosen. */
  readonly choice: Choice | null
  choose(choice: Choice | null): void
  /** What of the axis is shown; null: all of it. */
  readonly view: Span | null
  show(view: Span | null): void
}

/** `dataset`, `chunk` and `last` are names and ids: they stay what they are while chunks come and go. */
const names = ['dataset', 'chunk', 'last', 'from', 'until'] as const
type Kept = Readonly<Record<(typeof names)[number], string | null>>

/** Browsers refuse more than some hundred changes of the address in half a minute; an arrow key that is held makes thirty a second. */
const settleMs = 250

/** What is chosen and shown. The page follows at once, the address when it has settled. */
export function useChoice(lanes: readonly Lane[]): PageState {
  const [kept, setKept] = useKept()
  const { dataset, chunk, last } = kept
  const choice = useMemo<Choice | null>(() => {
    const chunks = lanes.find((lane) => lane.dataset.name === dataset)?.dataset.chunks
    if (dataset === null || chunks === undefined) return null
    const anchor = chunks.findIndex(({ id }) => id === chunk)
    const at = last === null ? anchor : chunks.findIndex(({ id }) => id === last)
    return anchor < 0 || at < 0 ? null : { dataset, anchor, at }
  }, [lanes, dataset, chunk, last])
  const choose = useCallback(
    (next: Choice | null) => {
      const chunks = lanes.find((lane) => lane.dataset.name === next?.dataset)?.dataset.chunks
      const anchor = next && chunks?.[next.anchor]
      const at = next && chunks?.[next.at]
      setKept({
        dataset: anchor && next ? next.dataset : null,
        chunk: anchor?.id ?? null,
        last: at && at !== anchor ? at.id : null,
      })
    },
    [lanes, setKept],
  )
  const from = Date.parse(kept.from ?? '')
  const to = Date.parse(kept.until ?? '')
  const view = useMemo(() => (to > from ? { from, to } : null), [from, to])
  const show = useCallback(
    (next: Span | null) =>
      setKept({
        from: next && new Date(Math.round(next.from)).toISOString(),
        until: next && new Date(Math.round(next.to)).toISOString(),
      }),
    [setKept],
  )
  return { choice, choose, view, show }
}

function useKept(): readonly [Kept, (changes: Partial<Kept>) => void] {
  const [params, setParams] = useSearchParams()
  const [kept, setAll] = useState(() => keptOf(params))
  const written = useRef(textOf(keptOf(params)))
  const address = textOf(keptOf(params))
  const wanted = textOf(kept)
  // the address was changed by somebody else: by going back, or by a link
  useEffect(() => {
    if (address === written.current) return
    written.current = address
    setAll(keptOf(new URLSearchParams(address)))
  }, [address])
  useEffect(() => {
    if (wanted === written.current) return
    const timer = setTimeout(() => {
      written.current = wanted
      setParams(
        (was) => {
          const next = new URLSearchParams(was)
          for (const name of names) next.delete(name)
          for (const [name, value] of new URLSearchParams(wanted)) next.set(name, value)
          return next
        },
        { replace: true, preventScrollReset: true },
      )
    }, settleMs)
    return () => clearTimeout(timer)
  }, [wanted, setParams])
  const change = useCallback((changes: Partial<Kept>) => setAll((was) => ({ ...was, ...changes })), [])
  return [kept, change]
}

function keptOf(params: URLSearchParams): Kept {
  return Object.fromEntries(names.map((name) => [name, params.get(name)])) as Kept
}

function textOf(kept: Kept): string {
  const given = names.flatMap((name) => (kept[name] === null ? [] : [[name, kept[name]] as [string, string]]))
  return new URLSearchParams(given).toString()
}
