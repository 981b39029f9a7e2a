import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useEffectEvent,
  useId,
  useMemo,
  useRef,
  useState,
} from 'react'

/** Something to do, by the palette and perhaps by keys. */
export interface Command {
  readonly id: string
  readonly title: string
  /** Heading in the palette. Default: This page. */
  readonly group?: string
  /** `r`, `?`, `g e` (one after the other). Keys work while no field has the focus. */
  readonly keys?: string
  run(): void
}

interface Registry {
  put(owner: string, commands: readonly Command[]): void
  drop(owner: string): void
}
// two contexts: whoever offers commands must not be told when commands are offered
const RegistryContext = createContext<Registry>({ put: () => {}, drop: () => {} })
const CommandsContext = createContext<readonly Command[]>([])

export function CommandProvider({ children }: { readonly children: ReactNode }): ReactNode {
  const [owners, setOwners] = useState<ReadonlyMap<string, readonly Command[]>>(new Map())
  const registry = useMemo<Registry>(
    () => ({
      put: (owner, commands) => setOwners((was) => new Map(was).set(owner, commands)),
      drop: (owner) =>
        setOwners((was) => {
          const rest = new Map(was)
          rest.delete(owner)
          return rest
        }),
    }),
    [],
  )
  const commands = useMemo(() => [...owners.values()].flat(), [owners])
  useKeys(commands)
  return (
    <RegistryContext value={registry}>
      <CommandsContext value={commands}>{children}</CommandsContext>
    </RegistryContext>
  )
}

export function useAllCommands(): readonly Command[] {
  return useContext(CommandsContext)
}

/**
 * Offers commands for as long as the component is there.
 *
 * @example useCommands([{ id: 'refresh', title: 'Refresh', keys: 'r', run: () => void refetch() }])
 */
export function useCommands(commands: readonly Command[]): void {
  const owner = useId()
  const { put, drop } = useContext(RegistryContext)
  const latest = useRef(commands)
  latest.current = commands
  // what is shown of them; the functions are looked up when they run, so that they may change with every render
  const shape = JSON.stringify(commands.map(({ id, title, group, keys }) => [id, title, group, keys]))
  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` stands for the commands
  useEffect(() => {
    put(
      owner,
      latest.current.map((command, i) => ({ ...command, run: () => latest.current[i]?.run() })),
    )
    return () => drop(owner)
  }, [owner, put, drop, shape])
}

const isField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || target.matches('input:not([type=checkbox],[type=radio]), textarea, select'))

/** Runs what the keys say; of `g e` the second has to come within a second. */
function useKeys(commands: readonly Command[]): void {
  const before = useRef({ key: '', at: 0 })
  const press = useEffectEvent((event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    if (isField(event.target) || document.querySelector('dialog[open]') !== null) return
    if (event.key.length !== 1) return
    const pair = event.timeStamp - before.current.at < 1000 ? `${before.current.key} ${event.key}` : ''
    const command =
      commands.findLast(({ keys }) => pair !== '' && keys === pair) ??
      commands.findLast(({ keys }) => keys === event.key)
    before.current = { key: event.key, at: event.timeStamp }
    if (command === undefined) return
    event.preventDefault()
    before.current = { key: '', at: 0 }
    command.run()
  })
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => press(event)
    addEventListener('keydown', listen)
    return () => removeEventListener('keydown', listen)
  }, [])
}
