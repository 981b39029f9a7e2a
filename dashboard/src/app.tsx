import { createBrowserRouter, Navigate, RouterProvider } from 'react-router'
import { ApiProvider } from './api/index.ts'
import { Frame, PageFailure, Providers } from './shell/index.ts'

const pages = {
  explore: () => import('./pages/explore/index.tsx'),
  boards: () => import('./pages/boards/index.tsx'),
  board: () => import('./pages/boards/board.tsx'),
  storage: () => import('./pages/storage/index.tsx'),
  aggregates: () => import('./pages/aggregates/index.tsx'),
  jobs: () => import('./pages/jobs/index.tsx'),
  'dead-letters': () => import('./pages/dead-letters/index.tsx'),
  keys: () => import('./pages/keys/index.tsx'),
  audit: () => import('./pages/audit/index.tsx'),
  health: () => import('./pages/health/index.tsx'),
} as const

/** A page is loaded when it is first opened. `src/api/server/routes-dashboard.ts` serves the first words of these paths. */
const router = createBrowserRouter([
  {
    path: '/shared/:token',
    ErrorBoundary: PageFailure,
    HydrateFallback: () => null,
    lazy: () => import('./pages/boards/shared.tsx').then(({ Page }) => ({ Component: Page })),
  },
  {
    path: '/',
    Component: Frame,
    ErrorBoundary: PageFailure,
    HydrateFallback: () => null,
    children: [
      { index: true, element: <Navigate to="/explore" replace /> },
      {
        ErrorBoundary: PageFailure,
        children: [
          { path: 'explore', lazy: () => pages.explore().then(asRoute) },
          { path: 'boards', lazy: () => pages['boards']().then(asRoute) },
          { path: 'boards/:id', lazy: () => pages.board().then(asRoute) },
          { path: 'storage', lazy: () => pages['storage']().then(asRoute) },
          { path: 'aggregates', lazy: () => pages['aggregates']().then(asRoute) },
          { path: 'jobs', lazy: () => pages['jobs']().then(asRoute) },
          { path: 'dead-letters', lazy: () => pages['dead-letters']().then(asRoute) },
          { path: 'keys', lazy: () => pages['keys']().then(asRoute) },
          { path: 'audit', lazy: () => pages['audit']().then(asRoute) },
          { path: 'health', lazy: () => pages['health']().then(asRoute) },
          { path: '*', lazy: () => import('./shell/not-found.tsx').then(asRoute) },
        ],
      },
    ],
  },
])

function asRoute({ Page }: { readonly Page: () => React.ReactNode }): { Component: () => React.ReactNode } {
  return { Component: Page }
}

/** The others come when the first has nothing more to do: going there is quick then, also while the server is away. */
export function fetchPages(): void {
  const fetch = (): void => {
    // one that does not come is asked for again when it is opened, which tells why
    for (const load of Object.values(pages)) void load().catch(() => {})
  }
  if ('requestIdleCallback' in window) requestIdleCallback(fetch, { timeout: 10_000 })
  else setTimeout(fetch, 3000)
}

export function App(): React.ReactNode {
  return (
    <ApiProvider>
      <Providers>
        <RouterProvider router={router} />
      </Providers>
    </ApiProvider>
  )
}
