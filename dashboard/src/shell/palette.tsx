import { Command as Palettes } from 'cmdk'
import { type ReactNode, useMemo } from 'react'
import { Dialog } from '../ui/dialog.tsx'
import { type Command, useAllCommands } from './commands.tsx'
import styles from './palette.module.css'

/** Everything that can be done here, found by typing. */
export function Palette({ isOpen, onClose }: { readonly isOpen: boolean; onClose(): void }): ReactNode {
  const commands = useAllCommands()
  const groups = useMemo(() => {
    const by = new Map<string, Command[]>()
    // what the page brings is nearer than what is always there
    for (const command of [...commands].reverse()) {
      const group = command.group ?? 'This page'
      by.set(group, [command, ...(by.get(group) ?? [])])
    }
    return [...by]
  }, [commands])
  return (
    <Dialog title="Find a command" isOpen={isOpen} onClose={onClose}>
      <Palettes label="Commands" loop>
        <Palettes.Input autoFocus placeholder="Type what you want to do" className={styles['input']} />
        <Palettes.List className={styles['list']} label="Commands">
          <Palettes.Empty className={styles['empty']}>Nothing has that name.</Palettes.Empty>
          {groups.map(([group, all]) => (
            <Palettes.Group key={group} heading={group} className={styles['group']}>
              {all.map(({ id, title, keys, run }) => (
                <Palettes.Item
                  key={id}
                  value={`${title} ${id}`}
                  className={styles['item']}
                  onSelect={() => {
                    onClose()
                    run()
                  }}
                >
                  <span>{title}</span>
                  {keys && <Keys keys={keys} />}
                </Palettes.Item>
              ))}
            </Palettes.Group>
          ))}
        </Palettes.List>
      </Palettes>
    </Dialog>
  )
}

export function Keys({ keys }: { readonly keys: string }): ReactNode {
  return (
    <span className={styles['keys']}>
      {keys.split(' ').map((key, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the same key may come twice
        <kbd key={i}>{key}</kbd>
      ))}
    </span>
  )
}
