import { type ReactNode, useRef } from 'react'
import { Button, type IconName, usePopover } from '../../ui/index.ts'
import styles from './explore.module.css'

export interface PopProps {
  /** What stands on the button. */
  readonly label: ReactNode
  /** Of what opens. */
  readonly title: string
  readonly icon?: IconName
  readonly kind?: 'plain' | 'quiet' | 'primary'
  /** Beside the label for screen readers. */
  readonly name?: string
  readonly children: (close: () => void) => ReactNode
}

/** A button with a small form below it. */
export function Pop({ label, title, icon, kind = 'plain', name, children }: PopProps): ReactNode {
  const inside = useRef<HTMLDivElement>(null)
  const { button, popover, isOpen, open, close } = usePopover(inside)
  return (
    <>
      <Button
        ref={button}
        kind={kind}
        {...(icon === undefined ? {} : { icon })}
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        aria-label={name}
        onClick={() =>
          isOpen
            ? close()
            : open(() =>
                inside.current?.querySelector<HTMLElement>('[data-first], input, select, button')?.focus(),
              )
        }
      >
        {label}
      </Button>
      <div ref={popover} popover="auto" role="dialog" aria-label={title} className={styles['pop']}>
        <div ref={inside}>{isOpen && children(close)}</div>
      </div>
    </>
  )
}
