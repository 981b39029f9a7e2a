import type { ReactNode } from 'react'
import { CommandProvider } from './commands.tsx'
import { ThemeProvider } from './theme.tsx'
import { ToastProvider } from './toast.tsx'
import { ZoneProvider } from './zone.tsx'

export function Providers({ children }: { readonly children: ReactNode }): ReactNode {
  return (
    <ThemeProvider>
      <ZoneProvider>
        <CommandProvider>
          <ToastProvider>{children}</ToastProvider>
        </CommandProvider>
      </ZoneProvider>
    </ThemeProvider>
  )
}
