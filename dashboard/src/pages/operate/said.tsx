import { Fragment, type ReactNode } from 'react'
import { Time } from '../../ui/index.ts'
import { instantsIn } from './advice-text.ts'

/** What the server has said, with its instants in the reader's zone. */
export function Said({ text }: { readonly text: string }): ReactNode {
  return instantsIn(text).map((piece, i) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one text stay where they are
    <Fragment key={i}>
      {piece.isInstant ? <Time value={piece.text} precision="second" /> : piece.text}
    </Fragment>
  ))
}
