import { type ReactNode, useEffect, useId, useRef } from 'react'
import { Button, IconButton } from './button.tsx'
import styles from './dialog.module.css'

export interface DialogProps {
  readonly title: string
  readonly isOpen: boolean
  onClose(): void
  readonly footer?: ReactNode
  readonly wide?: boolean
  readonly children: ReactNode
}

/** The browser's own modal dialog: it keeps the focus, closes by Escape, and gives the focus back. */
export function Dialog({ title, isOpen, onClose, footer, wide, children }: DialogProps): ReactNode {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const dialog = ref.current
    if (dialog === null || dialog.open === isOpen) return
    if (!isOpen) return dialog.close()
    dialog.showModal()
    // the browser takes the first button, which closes it; one comes to fill something in, or to decide
    const first =
      dialog.querySelector<HTMLElement>(`.${styles['body']} :is(input, select, textarea):not(:disabled)`) ??
      dialog.querySelector<HTMLElement>(`.${styles['foot']} button`)
    first?.focus()
  }, [isOpen])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape does the same, by the browser
    <dialog
      ref={ref}
      className={styles['dialog']}
      data-wide={wide || undefined}
      aria-labelledby={id}
      onClose={() => {
        if (isOpen) onClose()
      }}
      onClick={(event) => {
        // beside it
        if (event.target === ref.current) onClose()
      }}
    >
      {isOpen && (
        <div className={styles['inside']}>
          <header className={styles['head']}>
            <h2 id={id}>{title}</h2>
            <IconButton label="Close" icon="close" onClick={onClose} />
          </header>
          <div className={styles['body']}>{children}</div>
          {footer && <footer className={styles['foot']}>{footer}</footer>}
        </div>
      )}
    </dialog>
  )
}

export interface ConfirmProps {
  readonly title: string
  readonly isOpen: boolean
  onClose(): void
  onConfirm(): void
  readonly confirmLabel: string
  readonly kind?: 'primary' | 'danger'
  readonly busy?: boolean
  /** What will happen. */
  readonly children: ReactNode
}

export function Confirm({
  confirmLabel,
  kind = 'primary',
  busy,
  onConfirm,
  children,
  ...rest
}: ConfirmProps): ReactNode {
  return (
    <Dialog
      {...rest}
      footer={
        <>
          <Button onClick={rest.onClose}>Cancel</Button>
          <Button kind={kind} busy={busy ?? false} onClick={onConfirm}>
            {confirmLabel}
          </Button>
        </>
      }
    >
      {children}
    </Dialog>
  )
}
