import { type ReactNode, useEffect, useState } from 'react'
import type { IssuedApiKey } from 'tidemark/client'
import { Button, Code, Dialog, Time } from '../../ui/index.ts'
import styles from './keys.module.css'

/** Shows a secret once. It is not closed by accident: who leaves it without a copy says so. */
export function Secret({
  issued: { key, secret },
  onClose,
}: {
  readonly issued: IssuedApiKey
  onClose(): void
}): ReactNode {
  const [isAsked, setIsAsked] = useState(false)
  const [isCopied, setIsCopied] = useState(false)
  const [problem, setProblem] = useState<string | null>(null)
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(secret)
      setIsCopied(true)
      setProblem(null)
    } catch {
      setProblem('The browser does not let this page copy. Select the key and copy it.')
    }
  }
  useEffect(() => {
    if (isCopied) return
    // the browser would close the dialog, and the key would be gone
    const hold = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape') return
      event.preventDefault()
      setIsAsked(true)
    }
    document.addEventListener('keydown', hold, { capture: true })
    return () => document.removeEventListener('keydown', hold, { capture: true })
  }, [isCopied])
  return (
    <Dialog
      title={`The key of ${key.name}`}
      isOpen
      onClose={() => (isCopied ? onClose() : setIsAsked(true))}
      footer={
        <>
          <Button kind={isCopied ? 'plain' : 'primary'} onClick={() => void copy()}>
            {isCopied ? 'Copy again' : 'Copy the key'}
          </Button>
          <Button kind={isCopied ? 'primary' : 'plain'} onClick={onClose}>
            {isCopied ? 'Done' : 'I have kept it'}
          </Button>
        </>
      }
    >
      <div className={styles['form']}>
        <p>
          <strong>Copy it now: it is not shown again.</strong> What is stored of it is a hash; a key that was
          lost is rotated.
        </p>
        <output className={styles['secret']} aria-label="Key">
          {secret}
        </output>
        <p role="status" className={!isCopied && (isAsked || problem) ? styles['warning'] : styles['quiet']}>
          {problem ??
            (isCopied
              ? 'Copied.'
              : isAsked
                ? 'It has not been copied yet. Copy it, or say that you have kept it.'
                : '')}
        </p>
        {key.overlapUntil !== null && (
          <p>
            The secret before this one goes on until <Time value={key.overlapUntil} precision="minute" />:
            change it in every program meanwhile.
          </p>
        )}
        <Code
          copy
          label="To try it"
          text={`curl -H "Authorization: Bearer $TIDEMARK_KEY" ${location.origin}/api/v1/me`}
        />
      </div>
    </Dialog>
  )
}
