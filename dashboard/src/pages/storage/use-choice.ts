import { useCallback, useMemo } from 'react'
import { useSearchParams } from 'react-router'
import type { Choice, Lane } from './chunk-model.ts'
import type { Span } from './time-axis.ts'

interface PageState {
  /** Null: no chunk is chosen. */
  readonly choice: Choice | null
  choose(choice: Choice | null): void
  /** What of the axis is shown; null: all of it. */
  readonly view: Span | null
  show(view: Span | null): void
}

/**
 * What is chosen and shown, kept in the address: `dataset`, `chunk` and `last` (ids: they stay what they are while chunks come
 * and go), `from` and `until`.
 */
export function useChoice(lanes: readonly Lane[]): PageState {
  const [params, setParams] = useSearchParams()
  const change = useCallback(
    (changes: Readonly<Record<string, string | null>>) =>
      setParams(
        (was) => {
          const next = new URLSearchParams(was)
          for (const [name, value] of Object.entries(changes))
            if (value === null) next.delete(name)
            else next.set(name, value)
          return next
        },
        { replace: true, preventScrollReset: true },
      ),
    [setParams],
  )
  const dataset = params.get('dataset')
  const chunk = params.get('chunk')
  const last = params.get('last')
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
      change({
        dataset: anchor && next ? next.dataset : null,
        chunk: anchor?.id ?? null,
        last: at && at !== anchor ? at.id : null,
      })
    },
    [lanes, change],
  )
  const from = Date.parse(params.get('from') ?? '')
  const to = Date.parse(params.get('until') ?? '')
  const view = useMemo(() => (to > from ? { from, to } : null), [from, to])
  const show = useCallback(
    (next: Span | null) =>
      change({
        from: next && new Date(Math.round(next.from)).toISOString(),
        until: next && new Date(Math.round(next.to)).toISOString(),
      }),
    [change],
  )
  return { choice, choose, view, show }
}
