import { type UseQueryResult, useQuery } from '@tanstack/react-query'
import { createContext, useContext } from 'react'
import { type DatasetInfo, isTidemarkClientError, type Me } from 'tidemark/client'
import { useClient } from './provider.tsx'

export const MeContext = createContext<Me | null>(null)

/** Whoever is signed in; only inside of the frame. */
export function useMe(): Me {
  const me = useContext(MeContext)
  if (me === null) throw new Error('useMe is used outside of the frame')
  return me
}

export function may(me: Me, scope: 'ingest' | 'query' | 'admin'): boolean {
  return me.scopes.includes(scope)
}

export function useDatasets(): UseQueryResult<DatasetInfo[]> {
  const client = useClient()
  return useQuery({
    queryKey: ['datasets'],
    queryFn: ({ signal }) => client.datasets({ signal }),
    staleTime: 60_000,
  })
}

/** Whether the server cannot be reached at all, as against an answer that refuses. */
export function isGone(error: unknown): boolean {
  return isTidemarkClientError(error) && (error.code === 'TM_NO_ANSWER' || error.status === 502)
}

export function isSignedOut(error: unknown): boolean {
  return isTidemarkClientError(error) && error.status === 401
}
