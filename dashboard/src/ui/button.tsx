import type { ComponentProps, ReactNode } from 'react'
import styles from './button.module.css'
import { Icon, type IconName } from './icon.tsx'

export interface ButtonProps extends ComponentProps<'button'> {
  /** Default plain. One primary button for each page or dialog. */
  readonly kind?: 'primary' | 'plain' | 'quiet' | 'danger'
  readonly small?: boolean
  /** Something runs that it has started: it can be reached, and does nothing. */
  readonly busy?: boolean
  readonly icon?: IconName
}

export function Button({
  kind = 'plain',
  small,
  busy,
  icon,
  children,
  onClick,
  ...rest
}: ButtonProps): ReactNode {
  return (
    <button
      type="button"
      {...rest}
      className={`${styles['button']} ${rest.className ?? ''}`}
      data-kind={kind}
      data-small={small || undefined}
      aria-busy={busy || undefined}
      aria-disabled={busy || rest['aria-disabled'] || undefined}
      onClick={busy ? (event) => event.preventDefault() : onClick}
    >
      {icon && <Icon name={icon} size={small ? 15 : 17} />}
      {children}
    </button>
  )
}

export interface IconButtonProps extends Omit<ButtonProps, 'children' | 'icon'> {
  /** Its name for whoever does not see it; shown when it is pointed at. */
  readonly label: string
  readonly icon: IconName
}

export function IconButton({ label, icon, kind = 'quiet', ...rest }: IconButtonProps): ReactNode {
  return (
    <Button
      {...rest}
      kind={kind}
      aria-label={label}
      title={rest.title ?? label}
      className={`${styles['square']} ${rest.className ?? ''}`}
    >
      <Icon name={icon} size={rest.small ? 15 : 18} />
    </Button>
  )
}
