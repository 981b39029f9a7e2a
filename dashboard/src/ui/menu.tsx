import { type KeyboardEvent, type ReactNode, useId, useRef } from 'react'
import { Button } from './button.tsx'
import { Icon, type IconName } from './icon.tsx'
import styles from './menu.module.css'
import { usePopover } from './popover.ts'

export interface MenuItem {
  readonly label: string
  run(): void
  readonly keys?: string
  readonly danger?: boolean
  readonly disabled?: boolean
  /** Why it cannot be done, or what is chosen. */
  readonly note?: string
}

export interface MenuProps {
  readonly label: string
  readonly items: readonly MenuItem[]
  /** In place of the label, which then is the name only. */
  readonly icon?: IconName
  readonly small?: boolean
  readonly kind?: 'plain' | 'quiet' | 'primary'
}

/** A button with things to do: https://www.w3.org/WAI/ARIA/apg/patterns/menu-button/ */
export function Menu({ label, items, icon, small, kind = 'plain' }: MenuProps): ReactNode {
  const id = useId()
  const list = useRef<HTMLDivElement>(null)
  const { button, popover, isOpen, open, close } = usePopover(list)
  const focus = (at: number): void => {
    const all = [...(list.current?.querySelectorAll<HTMLElement>('[role=menuitem]') ?? [])]
    all[(at + all.length) % all.length]?.focus()
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    const all = [...(list.current?.querySelectorAll<HTMLElement>('[role=menuitem]') ?? [])]
    const at = all.indexOf(document.activeElement as HTMLElement)
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key]
    if (to !== undefined) {
      event.preventDefault()
      focus(to)
    } else if (event.key === 'Tab') close()
    else if (event.key.length === 1 && /\S/.test(event.key)) {
      const starts = (text: string | null): boolean =>
        text?.toLowerCase().startsWith(event.key.toLowerCase()) === true
      const next = [...all.slice(at + 1), ...all.slice(0, at + 1)].find(({ textContent }) =>
        starts(textContent),
      )
      next?.focus()
    }
  }
  return (
    <>
      <Button
        ref={button}
        kind={kind}
        small={small ?? false}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-controls={id}
        aria-label={icon ? label : undefined}
        title={icon ? label : undefined}
        className={icon ? styles['square'] : ''}
        onClick={() => (isOpen ? close() : open(() => focus(0)))}
        onKeyDown={(event) => {
          if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
          event.preventDefault()
          open(() => focus(event.key === 'ArrowDown' ? 0 : -1))
        }}
      >
        {icon ? <Icon name={icon} /> : label}
        {!icon && <Icon name="chevron" size={15} />}
      </Button>
      <div ref={popover} popover="auto" id={id} className={styles['popover']}>
        <div ref={list} role="menu" aria-label={label} tabIndex={-1} onKeyDown={onKeyDown}>
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              tabIndex={-1}
              className={styles['item']}
              data-danger={item.danger || undefined}
              aria-disabled={item.disabled || undefined}
              onClick={() => {
                if (item.disabled) return
                close()
                item.run()
              }}
            >
              <span>{item.label}</span>
              {item.note && <small>{item.note}</small>}
              {item.keys && <kbd>{item.keys}</kbd>}
            </button>
          ))}
        </div>
      </div>
    </>
  )
}
