import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from 'react'

export type ThemeChoice = 'system' | 'light' | 'dark'
const key = 'tidemark.theme'
const choices: readonly ThemeChoice[] = ['system', 'light', 'dark']

interface Theme {
  readonly choice: ThemeChoice
  /** What is shown. */
  readonly theme: 'light' | 'dark'
  choose(choice: ThemeChoice): void
}
const ThemeContext = createContext<Theme>({ choice: 'system', theme: 'light', choose: () => {} })

export function useTheme(): Theme {
  return useContext(ThemeContext)
}

const dark = matchMedia('(prefers-color-scheme: dark)')
const kept = (): ThemeChoice => choices.find((choice) => choice === localStorage.getItem(key)) ?? 'system'
const shown = (choice: ThemeChoice): 'light' | 'dark' =>
  choice === 'system' ? (dark.matches ? 'dark' : 'light') : choice

// before the first paint
document.documentElement.dataset['theme'] = shown(kept())

export function ThemeProvider({ children }: { readonly children: ReactNode }): ReactNode {
  const [choice, setChoice] = useState<ThemeChoice>(kept)
  const [theme, setTheme] = useState(() => shown(choice))
  useEffect(() => {
    const follow = (): void => setTheme(shown(choice))
    follow()
    dark.addEventListener('change', follow)
    return () => dark.removeEventListener('change', follow)
  }, [choice])
  useEffect(() => {
    document.documentElement.dataset['theme'] = theme
  }, [theme])
  const value = useMemo(
    () => ({
      choice,
      theme,
      choose(next: ThemeChoice) {
        localStorage.setItem(key, next)
        setChoice(next)
      },
    }),
    [choice, theme],
  )
  return <ThemeContext value={value}>{children}</ThemeContext>
}
