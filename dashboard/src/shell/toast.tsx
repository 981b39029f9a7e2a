import { createContext, type ReactNode, useCallback, useContext, useRef, useState } from 'react'
import { IconButton } from '../ui/button.tsx'
import styles from './toast.module.css'

export interface Toast {
  readonly kind: 'ok' | 'warn' | 'error'
  readonly text: string
  readonly action?: { readonly label: string; run(): void }
}
const ToastContext = createContext<(toast: Toast) => void>(() => {})

/** Says what has been done, beside what one is doing. Errors stay until they are put away. */
export function useToast(): (toast: Toast) => void {
  return useContext(ToastContext)
}

const shownMs = 6000
const maxShown = 4

export function ToastProvider({ children }: { readonly children: ReactNode }): ReactNode {
  const [toasts, setToasts] = useState<readonly (Toast & { readonly id: number })[]>([])
  const last = useRef(0)
  const remove = useCallback((id: number) => setToasts((was) => was.filter((toast) => toast.id !== id)), [])
  const show = useCallback(
    (toast: Toast) => {
      const id = ++last.current
      setToasts((was) => [...was, { ...toast, id }].slice(-maxShown))
      if (toast.kind === 'ok') setTimeout(() => remove(id), toast.action ? 2 * shownMs : shownMs)
    },
    [remove],
  )
  return (
    <ToastContext value={show}>
      {children}
      <section className={styles['toasts']} aria-label="Messages">
        <div role="status" aria-live="polite">
          {toasts.map(({ id, kind, text, action }) => (
            <div key={id} className={styles['toast']} data-kind={kind}>
              <span>{text}</span>
              {action && (
                <button
                  type="button"
                  className={styles['action']}
                  onClick={() => {
                    remove(id)
                    action.run()
                  }}
                >
                  {action.label}
                </button>
              )}
              <IconButton label="Put this message away" icon="close" onClick={() => remove(id)} />
            </div>
          ))}
        </div>
      </section>
    </ToastContext>
  )
}
