import { type UseQueryResult, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef } from 'react'
import { isTidemarkClientError, type Operation, type OperationRequest } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { useToast } from '../../shell/index.ts'

const busyMs = 500
const quietMs = 10_000

const isRunning = ({ state }: Operation): boolean => state === 'running'

/** What was begun from here or from elsewhere; asked for often while something runs. */
export function useOperations(): UseQueryResult<readonly Operation[]> {
  const client = useClient()
  const queries = useQueryClient()
  const result = useQuery({
    queryKey: ['operations'],
    queryFn: ({ signal }) => client.operations.list({ signal }),
    refetchInterval: ({ state }) => (state.data?.some(isRunning) ? busyMs : quietMs),
  })
  const { data } = result
  const running = useRef<ReadonlySet<string>>(new Set())
  useEffect(() => {
    if (data === undefined) return
    const now = new Set(data.filter(isRunning).map(({ id }) => id))
    const hasEnded = [...running.current].some((id) => !now.has(id))
    running.current = now
    // what an operation has changed is looked at when it has ended
    if (!hasEnded) return
    void queries.invalidateQueries({ queryKey: ['storage'] })
    void queries.invalidateQueries({ queryKey: ['aggregates'] })
  }, [data, queries])
  return result
}

export interface OperationActs {
  start(request: OperationRequest): Promise<Operation>
  cancel(id: string): void
  readonly isStarting: boolean
}

/** Begins and stops; what the server says against it is told at once. */
export function useOperationActs(): OperationActs {
  const client = useClient()
  const queries = useQueryClient()
  const toast = useToast()
  const tell = (error: unknown): void =>
    toast({ kind: 'error', text: isTidemarkClientError(error) ? error.message : String(error) })
  const settled = (): void => {
    void queries.invalidateQueries({ queryKey: ['operations'] })
    void queries.invalidateQueries({ queryKey: ['storage'] })
  }
  const start = useMutation({
    mutationFn: (request: OperationRequest) => client.operations.start(request),
    onError: tell,
    onSettled: settled,
  })
  const cancel = useMutation({
    mutationFn: (id: string) => client.operations.cancel(id),
    onError: tell,
    onSettled: settled,
  })
  return {
    start: (request) => start.mutateAsync(request),
    cancel: (id) => cancel.mutate(id),
    isStarting: start.isPending,
  }
}
