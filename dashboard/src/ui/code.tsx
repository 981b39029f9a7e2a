import { type ReactNode, useEffect, useState } from 'react'
import { Button } from './button.tsx'
import styles from './code.module.css'

export interface CopyButtonProps {
  readonly text: string
  readonly label?: string
  readonly small?: boolean
}

export function CopyButton({ text, label = 'Copy', small = true }: CopyButtonProps): ReactNode {
  const [said, setSaid] = useState<'copied' | 'failed' | null>(null)
  useEffect(() => {
    if (said === null) return
    const timer = setTimeout(() => setSaid(null), 2000)
    return () => clearTimeout(timer)
  }, [said])
  return (
    <Button
      small={small}
      icon={said === 'copied' ? 'check' : 'copy'}
      onClick={() =>
        void navigator.clipboard.writeText(text).then(
          () => setSaid('copied'),
          () => setSaid('failed'),
        )
      }
    >
      <span aria-live="polite">
        {said === 'copied' ? 'Copied' : said === 'failed' ? 'The browser does not allow it' : label}
      </span>
    </Button>
  )
}

export interface CodeProps {
  readonly text: string
  /** What it is, for screen readers: `SQL`, `a command`. */
  readonly label?: string
  readonly copy?: boolean
}

export function Code({ text, label = 'Code', copy }: CodeProps): ReactNode {
  return (
    <div className={styles['code']}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard */}
      <section tabIndex={0} aria-label={label}>
        <pre>
          <code>{text}</code>
        </pre>
      </section>
      {copy && <CopyButton text={text} />}
    </div>
  )
}
