import { type UseQueryResult, useQuery } from '@tanstack/react-query'
import type { Storage } from 'tidemark/client'
import { useClient } from '../../api/index.ts'

/** Looked at more often while something moves. What has not changed keeps its identity, so it is not drawn again. */
export function useStorage(isBusy: boolean): UseQueryResult<Storage> {
  const client = useClient()
  return useQuery({
    queryKey: ['storage'],
    queryFn: ({ signal }) => client.operations.storage({ signal }),
    refetchInterval: isBusy ? 1500 : 10_000,
    structuralSharing: true,
  })
}
