import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createContext, type ReactNode, useContext, useMemo } from 'react'
import { type Client, createClient, isTidemarkClientError } from 'tidemark/client'

const ClientContext = createContext<Client | null>(null)

/** The server that served this page, asked with the session's cookie. */
export function useClient(): Client {
  const client = useContext(ClientContext)
  if (client === null) throw new Error('useClient is used outside of ApiProvider')
  return client
}

export function ApiProvider({ children }: { readonly children: ReactNode }): ReactNode {
  const { client, queries } = useMemo(
    () => ({
      client: createClient({
        url: location.origin,
        // the header says that it is this page that asks, which pages of other sites cannot
        fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, 'x-tidemark-csrf': '1' } }),
        timeoutMs: 60_000,
        // the page tells that the server is gone, and asks again by itself
        maxAttempts: 1,
      }),
      queries: new QueryClient({
        defaultOptions: {
          queries: {
            retry: (failures, error) =>
              failures < 2 && (!isTidemarkClientError(error) || (error.retryable && error.status !== 504)),
            retryDelay: (failures) => 250 * 2 ** failures,
            staleTime: 2000,
            refetchOnWindowFocus: true,
            // answers keep the identity of what has not changed, but the rows of an answer are too many to compare
            structuralSharing: false,
            networkMode: 'always',
          },
          mutations: { retry: false, networkMode: 'always' },
        },
      }),
    }),
    [],
  )
  return (
    <ClientContext value={client}>
      <QueryClientProvider client={queries}>{children}</QueryClientProvider>
    </ClientContext>
  )
}
