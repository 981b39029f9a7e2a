import {
  type InfiniteData,
  type UseInfiniteQueryResult,
  useInfiniteQuery,
  useMutation,
  useQueryClient,
} from '@tanstack/react-query'
import { useState } from 'react'
import type { DeadLetterFilter, DeadLetterPage, DeadLetterReplay } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { useToast } from '../../shell/index.ts'
import type { Chosen, ConflictRule } from './bulk.tsx'
import { lettersOf } from './words.ts'

const pageSize = 100
const refreshMs = 15_000

/** Page after page, the newest first; looked at again by itself as long as there is one page. */
export function useLetters(filter: DeadLetterFilter): UseInfiniteQueryResult<InfiniteData<DeadLetterPage>> {
  const client = useClient()
  return useInfiniteQuery({
    queryKey: ['dead-letters', 'list', filter],
    queryFn: ({ pageParam, signal }) =>
      client.operations.deadLetters({ ...filter, before: pageParam, limit: pageSize }, { signal }),
    initialPageParam: null as string | null,
    getNextPageParam: ({ next }) => next,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) > 1 ? false : refreshMs),
    placeholderData: (before) => before,
  })
}

const askedFor = (chosen: Chosen) =>
  chosen.kind === 'ids'
    ? { ids: chosen.ids }
    : { filter: Object.keys(chosen.filter).length === 0 ? { all: true } : chosen.filter }

/** Whether the letter that is open has left with a replay of these. */
export function isAboutGone(chosen: Chosen, open: string, { replayed, rejected }: DeadLetterReplay): boolean {
  return (
    chosen.kind === 'ids' &&
    chosen.ids.includes(open) &&
    replayed > 0 &&
    !rejected.letters.some(({ id }) => id === open)
  )
}

/** Replays and deletes, and keeps what the last replay came to. */
export function useActs(onDone: () => void) {
  const client = useClient()
  const queries = useQueryClient()
  const toast = useToast()
  const [outcome, setOutcome] = useState<DeadLetterReplay | null>(null)
  const changed = (): void => {
    onDone()
    void queries.invalidateQueries({ queryKey: ['dead-letters'] })
    void queries.invalidateQueries({ queryKey: ['dead-letter'] })
    void queries.invalidateQueries({ queryKey: ['overview'] })
  }
  const replay = useMutation({
    mutationFn: ({ chosen, onConflict }: { chosen: Chosen; onConflict: ConflictRule | null }) =>
      client.operations.replayDeadLetters(askedFor(chosen), onConflict === null ? {} : { onConflict }),
    onSuccess: setOutcome,
    onError: (error) => toast({ kind: 'error', text: error.message }),
    onSettled: changed,
  })
  const remove = useMutation({
    mutationFn: (chosen: Chosen) => client.operations.deleteDeadLetters(askedFor(chosen)),
    onSuccess: (deleted) => {
      toast({ kind: 'ok', text: `${lettersOf(deleted)} deleted.` })
      // what was focused may be gone with its letter
      requestAnimationFrame(() => {
        if (document.activeElement === document.body) document.getElementById('main')?.focus()
      })
    },
    onError: (error) => toast({ kind: 'error', text: error.message }),
    onSettled: changed,
  })
  return { replay, remove, outcome, setOutcome }
}
