import { type ReactNode, useId, useRef } from 'react'
import { formatNumber } from '../format/index.ts'
import styles from './tabs.module.css'

export interface TabsProps<V extends string> {
  readonly label: string
  readonly value: V
  readonly tabs: readonly { readonly value: V; readonly label: string; readonly count?: number }[]
  onChange(value: V): void
}

/** One of a few, all seen at once; arrows go from one to the next. */
export function Tabs<V extends string>({ label, value, tabs, onChange }: TabsProps<V>): ReactNode {
  const id = useId()
  const row = useRef<HTMLDivElement>(null)
  return (
    <div
      ref={row}
      role="radiogroup"
      aria-label={label}
      className={styles['tabs']}
      onKeyDown={(event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
        if (step === undefined) return
        event.preventDefault()
        const at = tabs.findIndex((tab) => tab.value === value)
        const to = (at + step + tabs.length) % tabs.length
        const next = tabs[to]
        if (next === undefined) return
        onChange(next.value)
        row.current?.querySelectorAll<HTMLElement>('[role=radio]')[to]?.focus()
      }}
      tabIndex={-1}
    >
      {tabs.map((tab) => (
        // biome-ignore lint/a11y/useSemanticElements: a row of buttons of which one is pressed
        <button
          key={tab.value}
          id={`${id}-${tab.value}`}
          type="button"
          role="radio"
          aria-checked={tab.value === value}
          tabIndex={tab.value === value ? 0 : -1}
          className={styles['tab']}
          onClick={() => onChange(tab.value)}
        >
          {tab.label}
          {tab.count !== undefined && <small>{formatNumber(tab.count, { compact: true })}</small>}
        </button>
      ))}
    </div>
  )
}
