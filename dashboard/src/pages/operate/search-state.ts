import { useCallback, useEffect, useState } from 'react'
import { useSearchParams } from 'react-router'

export type SearchState<Name extends string> = Readonly<Record<Name, string>>

/**
 * What a page shows, kept in its URL: '' is what is not there. `push: true` makes an entry of the browser's history.
 *
 * @example const [{ dataset, reason }, set] = useSearchState(['dataset', 'reason'])
 */
export function useSearchState<const Name extends string>(
  names: readonly Name[],
): [
  SearchState<Name>,
  (change: Partial<Record<Name, string>>, options?: { readonly push?: boolean }) => void,
] {
  const [search, setSearch] = useSearchParams()
  // the router takes a moment, in which a box that was ticked would show itself without its tick
  const [ahead, setAhead] = useState<Partial<Record<Name, string>>>({})
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is in the URL holds
  useEffect(() => setAhead({}), [search])
  const inUrl = Object.fromEntries(names.map((name) => [name, search.get(name) ?? '']))
  const set = useCallback(
    (change: Partial<Record<Name, string>>, { push = false } = {}) => {
      setAhead((was) => ({ ...was, ...change }))
      setSearch(
        (was) => {
          const next = new URLSearchParams(was)
          for (const [name, value] of Object.entries<string | undefined>(change))
            if (value) next.set(name, value)
            else next.delete(name)
          return next
        },
        { replace: !push, preventScrollReset: true },
      )
    },
    [setSearch],
  )
  return [{ ...inUrl, ...ahead } as Record<Name, string>, set]
}

/** The value, once it has been left alone for a while: a question is not asked with every key. */
export function useSettled<T>(value: T, afterMs = 300): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(() => value), afterMs)
    return () => clearTimeout(timer)
  }, [value, afterMs])
  return settled
}
