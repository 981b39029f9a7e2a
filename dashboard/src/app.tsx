import { createBrowserRouter, Navigate, RouterProvider } from 'react-router'
import { ApiProvider } from './api/index.ts'
import { Frame, PageFailure, Providers } from './shell/index.ts'

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
          { path: 'explore', lazy: () => import('./pages/explore/index.tsx').then(asRoute) },
          { path: 'boards', lazy: () => import('./pages/boards/index.tsx').then(asRoute) },
          { path: 'boards/:id', lazy: () => import('./pages/boards/board.tsx').then(asRoute) },
          { path: 'storage', lazy: () => import('./pages/storage/index.tsx').then(asRoute) },
          { path: 'aggregates', lazy: () => import('./pages/aggregates/index.tsx').then(asRoute) },
          { path: 'jobs', lazy: () => import('./pages/jobs/index.tsx').then(asRoute) },
          { path: 'dead-letters', lazy: () => import('./pages/dead-letters/index.tsx').then(asRoute) },
          { path: 'keys', lazy: () => import('./pages/keys/index.tsx').then(asRoute) },
          { path: 'audit', lazy: () => import('./pages/audit/index.tsx').then(asRoute) },
          { path: 'health', lazy: () => import('./pages/health/index.tsx').then(asRoute) },
          { path: '*', lazy: () => import('./shell/not-found.tsx').then(asRoute) },
        ],
      },
    ],
  },
])

function asRoute({ Page }: { readonly Page: () => React.ReactNode }): { Component: () => React.ReactNode } {
  return { Component: Page }
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
