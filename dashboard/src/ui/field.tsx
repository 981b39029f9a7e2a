import { type ComponentProps, type ReactNode, useId } from 'react'
import styles from './field.module.css'

interface FieldProps {
  readonly label: string
  /** What is allowed. */
  readonly hint?: ReactNode
  /** What is wrong; told to screen readers as well. */
  readonly error?: ReactNode
  /** The label is there for screen readers only. */
  readonly hideLabel?: boolean
}

interface Ids {
  readonly id: string
  readonly 'aria-describedby': string | undefined
  readonly 'aria-invalid': true | undefined
}

/** A label, what is wrong or allowed, and between them what is filled in. */
export function Field({
  label,
  hint,
  error,
  hideLabel,
  children,
}: FieldProps & { readonly children: (ids: Ids) => ReactNode }): ReactNode {
  const id = useId()
  const says = error !== undefined && error !== null && error !== '' ? error : hint
  return (
    <div className={styles['field']}>
      <label htmlFor={id} className={hideLabel ? 'visually-hidden' : styles['label']}>
        {label}
      </label>
      {children({
        id,
        'aria-describedby': says ? `${id}-says` : undefined,
        'aria-invalid': error ? true : undefined,
      })}
      {says && (
        <p id={`${id}-says`} className={error ? styles['error'] : styles['hint']}>
          {says}
        </p>
      )}
    </div>
  )
}

export interface TextFieldProps extends FieldProps, Omit<ComponentProps<'input'>, 'value' | 'onChange'> {
  readonly value: string
  onChange(text: string): void
}

export function TextField({
  label,
  hint,
  error,
  hideLabel,
  value,
  onChange,
  ...rest
}: TextFieldProps): ReactNode {
  return (
    <Field {...{ label, hint, error }} hideLabel={hideLabel ?? false}>
      {(ids) => (
        <input
          type="text"
          autoComplete="off"
          spellCheck={false}
          {...rest}
          {...ids}
          className={styles['input']}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  )
}

export interface TextAreaProps extends FieldProps, Omit<ComponentProps<'textarea'>, 'value' | 'onChange'> {
  readonly value: string
  onChange(text: string): void
}

export function TextArea({
  label,
  hint,
  error,
  hideLabel,
  value,
  onChange,
  ...rest
}: TextAreaProps): ReactNode {
  return (
    <Field {...{ label, hint, error }} hideLabel={hideLabel ?? false}>
      {(ids) => (
        <textarea
          spellCheck={false}
          rows={5}
          {...rest}
          {...ids}
          className={`${styles['input']} ${styles['area']}`}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  )
}

export interface SelectProps<V extends string>
  extends FieldProps,
    Omit<ComponentProps<'select'>, 'value' | 'onChange'> {
  readonly value: V
  readonly options: readonly { readonly value: V; readonly label: string; readonly disabled?: boolean }[]
  onChange(value: V): void
}

export function Select<V extends string>({
  label,
  hint,
  error,
  hideLabel,
  value,
  options,
  onChange,
  ...rest
}: SelectProps<V>): ReactNode {
  return (
    <Field {...{ label, hint, error }} hideLabel={hideLabel ?? false}>
      {(ids) => (
        <select
          {...rest}
          {...ids}
          className={styles['input']}
          value={value}
          onChange={(event) => onChange(event.target.value as V)}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value} disabled={option.disabled}>
              {option.label}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

export interface CheckboxProps extends Omit<ComponentProps<'input'>, 'onChange'> {
  readonly label: ReactNode
  readonly checked: boolean
  onChange(checked: boolean): void
}

export function Checkbox({ label, checked, onChange, ...rest }: CheckboxProps): ReactNode {
  return (
    <label className={styles['check']}>
      <input
        {...rest}
        type="checkbox"
        checked={checked}
        onChange={(event) => onChange(event.target.checked)}
      />
      <span>{label}</span>
    </label>
  )
}
