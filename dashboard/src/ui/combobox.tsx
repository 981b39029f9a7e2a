import { Command, defaultFilter } from 'cmdk'
import { type ReactNode, useId, useRef, useState } from 'react'
import { Button } from './button.tsx'
import styles from './combobox.module.css'
import { Icon } from './icon.tsx'
import { usePopover } from './popover.ts'

export interface ComboboxOption {
  readonly value: string
  readonly label: string
  /** Beside it: a type, a kind. */
  readonly hint?: string
}

interface Shared {
  readonly label: string
  readonly options: readonly ComboboxOption[]
  readonly placeholder?: string
  readonly hideLabel?: boolean
  readonly small?: boolean
  /** What is typed and not among the options may be taken as it is. */
  readonly allowOther?: boolean
}
export type ComboboxProps = Shared &
  (
    | { readonly multiple?: false; readonly value: string; onChange(value: string): void }
    | { readonly multiple: true; readonly value: readonly string[]; onChange(value: readonly string[]): void }
  )

const asItIs = 'as it is'

/** What there is comes before what is typed. */
function rank(value: string, typed: string): number {
  return value === asItIs ? Number.MIN_VALUE : defaultFilter(value, typed)
}

/** One or several of many, found by typing. Arrows, Enter and Escape do what they do in lists. */
export function Combobox(props: ComboboxProps): ReactNode {
  const { label, options, placeholder = 'Choose…', hideLabel, small, allowOther } = props
  const id = useId()
  const inside = useRef<HTMLDivElement>(null)
  const { button, popover, isOpen, open, close } = usePopover(inside)
  const [typed, setTyped] = useState('')
  const chosen: readonly string[] = props.multiple ? props.value : props.value === '' ? [] : [props.value]
  const text = chosen
    .map((value) => options.find((option) => option.value === value)?.label ?? value)
    .join(', ')
  const choose = (value: string): void => {
    setTyped('')
    if (props.multiple) {
      props.onChange(chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value])
      return
    }
    close()
    props.onChange(value)
  }
  return (
    <div className={styles['box']}>
      <span id={`${id}-label`} className={hideLabel ? 'visually-hidden' : styles['label']}>
        {label}
      </span>
      <Button
        ref={button}
        id={`${id}-button`}
        small={small ?? false}
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        aria-labelledby={`${id}-label ${id}-button`}
        className={styles['button'] ?? ''}
        title={text}
        onClick={() => (isOpen ? close() : open(() => inside.current?.querySelector('input')?.focus()))}
      >
        <span className={styles['text']} data-empty={text === '' || undefined}>
          {text === '' ? placeholder : text}
        </span>
        <Icon name="chevron" size={15} />
      </Button>
      <div ref={popover} popover="auto" className={styles['popover']} role="dialog" aria-label={label}>
        <div ref={inside}>
          {isOpen && (
            <Command label={label} loop filter={rank}>
              <Command.Input
                value={typed}
                onValueChange={setTyped}
                placeholder="Type to find"
                className={styles['input']}
              />
              <Command.List className={styles['list']} label={label}>
                {!allowOther && (
                  <Command.Empty className={styles['empty']}>Nothing has that name.</Command.Empty>
                )}
                {options.map((option) => (
                  <Command.Item
                    key={option.value}
                    value={`${option.label}\u0000${option.value}`}
                    className={styles['item']}
                    onSelect={() => choose(option.value)}
                  >
                    <span className={styles['mark']}>
                      {chosen.includes(option.value) && <Icon name="check" size={15} />}
                    </span>
                    <span className={styles['name']}>
                      {option.label}
                      {chosen.includes(option.value) && <span className="visually-hidden"> (chosen)</span>}
                    </span>
                    {option.hint && <small>{option.hint}</small>}
                  </Command.Item>
                ))}
                {allowOther &&
                  typed.trim() !== '' &&
                  !options.some(({ value }) => value === typed.trim()) && (
                    <Command.Item
                      value={asItIs}
                      className={styles['item']}
                      onSelect={() => choose(typed.trim())}
                    >
                      <span className={styles['mark']} />
                      <span className={styles['name']}>Use “{typed.trim()}”</span>
                    </Command.Item>
                  )}
              </Command.List>
            </Command>
          )}
        </div>
      </div>
    </div>
  )
}
