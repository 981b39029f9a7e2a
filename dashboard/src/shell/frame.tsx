import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, Suspense, useEffect, useRef, useState } from 'react'
import { NavLink, Outlet, useLocation, useNavigate } from 'react-router'
import type { Me } from 'tidemark/client'
import { isSignedOut, MeContext, may, useClient } from '../api/index.ts'
import { Button, ErrorBox, Icon, IconButton, Menu, Skeleton } from '../ui/index.ts'
import { useCommands } from './commands.tsx'
import { Connection } from './connection.tsx'
import styles from './frame.module.css'
import { places } from './navigation.ts'
import { Palette } from './palette.tsx'
import { Shortcuts } from './shortcuts.tsx'
import { SignIn } from './sign-in.tsx'
import { useTheme } from './theme.tsx'
import { useZone } from './zone.tsx'

/** What is around every page; shows the way in to whoever is not signed in. */
export function Frame(): ReactNode {
  const client = useClient()
  const me = useQuery({
    queryKey: ['me'],
    queryFn: ({ signal }) => client.session.me({ signal }),
    // also how a page that asks nothing by itself learns that the server is gone
    refetchInterval: (query) => (query.state.error ? 3000 : 15_000),
  })
  // while it is asked again there is no error, and what somebody types must not go away
  const [isOut, setIsOut] = useState(false)
  useEffect(() => {
    if (isSignedOut(me.error)) setIsOut(true)
    else if (me.isSuccess && !me.isRefetchError) setIsOut(false)
  }, [me.error, me.isSuccess, me.isRefetchError])
  if (isOut || isSignedOut(me.error)) return <SignIn />
  if (me.data === undefined) {
    return (
      <div className={styles['waiting']}>
        {me.isError ? <ErrorBox error={me.error} retry={() => void me.refetch()} /> : <Skeleton lines={4} />}
      </div>
    )
  }
  return (
    <MeContext value={me.data}>
      <Inside me={me.data} />
    </MeContext>
  )
}

function Inside({ me }: { readonly me: Me }): ReactNode {
  const client = useClient()
  const queries = useQueryClient()
  const navigate = useNavigate()
  const { pathname } = useLocation()
  const { choice, theme, choose } = useTheme()
  const { zone, isUtc, toggle } = useZone()
  const [isPaletteOpen, setPalette] = useState(false)
  const [isHelpOpen, setHelp] = useState(false)
  const [isNavOpen, setNav] = useState(false)
  const main = useRef<HTMLElement>(null)
  const isFirst = useRef(true)
  const signOut = async (): Promise<void> => {
    await client.session.signOut()
    queries.clear()
    await queries.invalidateQueries({ queryKey: ['me'] })
  }
  // a new page: its heading is what comes next, by keyboard and for screen readers
  // biome-ignore lint/correctness/useExhaustiveDependencies: for each path
  useEffect(() => {
    setNav(false)
    if (isFirst.current) isFirst.current = false
    else main.current?.focus({ preventScroll: true })
  }, [pathname])
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'k') return
      event.preventDefault()
      setPalette((was) => !was)
    }
    addEventListener('keydown', listen)
    return () => removeEventListener('keydown', listen)
  }, [])
  useCommands([
    ...places.flatMap(({ places: all }) =>
      all
        .filter(({ scope }) => may(me, scope))
        .map(({ path, title, key }) => ({
          id: `go ${path}`,
          title: `Go to ${title}`,
          group: 'Go to',
          keys: `g ${key}`,
          run: () => void navigate(path),
        })),
    ),
    {
      id: 'zone',
      title: isUtc ? 'Show times in my zone' : 'Show times in UTC',
      group: 'View',
      keys: 'u',
      run: toggle,
    },
    {
      id: 'theme',
      title: theme === 'dark' ? 'Light theme' : 'Dark theme',
      group: 'View',
      keys: 't',
      run: () => choose(theme === 'dark' ? 'light' : 'dark'),
    },
    { id: 'theme system', title: 'Theme of the system', group: 'View', run: () => choose('system') },
    { id: 'help', title: 'Keyboard shortcuts', group: 'View', keys: '?', run: () => setHelp(true) },
    { id: 'palette', title: 'Find a command', group: 'View', keys: '/', run: () => setPalette(true) },
    ...(me.kind === 'anonymous'
      ? []
      : [{ id: 'sign out', title: 'Sign out', group: 'Session', run: () => void signOut() }]),
  ])
  return (
    <div className={styles['frame']} data-nav={isNavOpen || undefined}>
      <a className={styles['skip']} href="#main">
        Skip to the page
      </a>
      <header className={styles['top']}>
        <IconButton
          label={isNavOpen ? 'Close the navigation' : 'Open the navigation'}
          icon={isNavOpen ? 'close' : 'menu'}
          className={styles['burger'] ?? ''}
          aria-expanded={isNavOpen}
          onClick={() => setNav((was) => !was)}
        />
        <NavLink to="/explore" className={styles['brand'] ?? ''}>
          <img src="/icon.svg" alt="" width={22} height={22} />
          Tidemark
        </NavLink>
        <button type="button" className={styles['find']} onClick={() => setPalette(true)}>
          <Icon name="search" size={16} />
          <span>Find a page or command</span>
          <kbd>{navigator.userAgent.includes('Mac') ? '⌘K' : 'Ctrl K'}</kbd>
        </button>
        <div className={styles['right']}>
          <Button
            kind="quiet"
            small
            onClick={toggle}
            aria-pressed={isUtc}
            title={`Times are shown in ${zone}; key u`}
          >
            {isUtc ? 'UTC' : 'Local'}
          </Button>
          <IconButton
            label={theme === 'dark' ? 'Light theme' : 'Dark theme'}
            icon={theme === 'dark' ? 'sun' : 'moon'}
            onClick={() => choose(theme === 'dark' ? 'light' : 'dark')}
          />
          <Menu
            label={me.kind === 'anonymous' ? 'Open to this machine' : (me.name ?? me.id)}
            kind="quiet"
            items={[
              {
                label: me.allTenants ? 'Every tenant' : `Tenant ${me.tenant ?? 'none'}`,
                note: me.scopes.join(', '),
                disabled: true,
                run: () => {},
              },
              {
                label: `Theme: ${choice}`,
                run: () => choose(choice === 'system' ? 'light' : choice === 'light' ? 'dark' : 'system'),
              },
              { label: 'Keyboard shortcuts', keys: '?', run: () => setHelp(true) },
              ...(me.kind === 'anonymous' ? [] : [{ label: 'Sign out', run: () => void signOut() }]),
            ]}
          />
        </div>
      </header>
      <nav className={styles['nav']} aria-label="Pages">
        {places.map((group) => {
          const open = group.places.filter(({ scope }) => may(me, scope))
          if (open.length === 0) return null
          return (
            <section key={group.title} aria-label={group.title}>
              <h2>{group.title}</h2>
              <ul>
                {open.map(({ path, title, icon, key }) => (
                  <li key={path}>
                    <NavLink to={path} title={`g ${key}`}>
                      <Icon name={icon} />
                      {title}
                    </NavLink>
                  </li>
                ))}
              </ul>
            </section>
          )
        })}
      </nav>
      <main ref={main} id="main" tabIndex={-1} className={styles['main']}>
        <Connection />
        <Suspense fallback={<Skeleton lines={6} />}>
          <Outlet />
        </Suspense>
      </main>
      <Palette isOpen={isPaletteOpen} onClose={() => setPalette(false)} />
      <Shortcuts isOpen={isHelpOpen} onClose={() => setHelp(false)} />
    </div>
  )
}
