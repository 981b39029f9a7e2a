import type { ReactNode } from 'react'
import { Link } from 'react-router'
import { adviceOf } from './advice-text.ts'
import { CopyCommand } from './copy-command.tsx'
import styles from './operate.module.css'
import { Said } from './said.tsx'

/** What to do: words, with each command ready to be copied, and the page where it is done. */
export function Advice({
  text,
  page,
}: {
  readonly text: string | null
  readonly page?: { readonly to: string; readonly label: string } | null
}): ReactNode {
  if (text === null && !page) return null
  return (
    <p className={styles['advice']}>
      {text !== null &&
        adviceOf(text).map((piece, i) =>
          piece.kind === 'words' ? (
            // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one text stay where they are
            <Said key={i} text={piece.text} />
          ) : (
            // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one text stay where they are
            <span key={i} className={styles['command']}>
              <code>{piece.text}</code>
              <CopyCommand text={piece.text} />
            </span>
          ),
        )}
      {page && (
        <>
          {' '}
          <Link to={page.to}>{page.label}</Link>
        </>
      )}
    </p>
  )
}
