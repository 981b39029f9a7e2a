import type { ReactNode } from 'react'
import { Dialog } from '../ui/dialog.tsx'
import { useAllCommands } from './commands.tsx'
import styles from './palette.module.css'
import { Keys } from './palette.tsx'

export function Shortcuts({ isOpen, onClose }: { readonly isOpen: boolean; onClose(): void }): ReactNode {
  const commands = useAllCommands().filter(({ keys }) => keys !== undefined)
  return (
    <Dialog title="Keyboard shortcuts" isOpen={isOpen} onClose={onClose}>
      <dl className={styles['shortcuts']}>
        <div>
          <dt>Find a command</dt>
          <dd>
            <Keys keys="Ctrl K" />
          </dd>
        </div>
        {commands.map(({ id, title, keys }) => (
          <div key={id}>
            <dt>{title}</dt>
            <dd>
              <Keys keys={keys ?? ''} />
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
