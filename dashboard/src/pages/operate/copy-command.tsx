import { type ReactNode, useEffect, useState } from 'react'
import { IconButton } from '../../ui/index.ts'

/** Copies a command that stands beside it. */
export function CopyCommand({ text }: { readonly text: string }): ReactNode {
  const [said, setSaid] = useState<'copied' | 'failed' | null>(null)
  useEffect(() => {
    if (said === null) return
    const timer = setTimeout(() => setSaid(null), 2000)
    return () => clearTimeout(timer)
  }, [said])
  return (
    <>
      <IconButton
        small
        label={`Copy ${text}`}
        title="Copy"
        icon={said === 'copied' ? 'check' : 'copy'}
        onClick={() =>
          void navigator.clipboard.writeText(text).then(
            () => setSaid('copied'),
            () => setSaid('failed'),
          )
        }
      />
      <span role="status" className={said === 'failed' ? undefined : 'visually-hidden'}>
        {said === 'copied' ? 'Copied' : said === 'failed' ? 'The browser does not allow it' : ''}
      </span>
    </>
  )
}
