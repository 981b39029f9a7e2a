import type { ReactNode } from 'react'
import type { ChunkLook } from './chunk-columns.ts'
import styles from './lanes.module.css'
import type { ChunkWord } from './words.ts'

const looks: Readonly<Record<ChunkWord, ChunkLook>> = {
  hot: 'hot',
  cold: 'cold',
  delta: 'delta',
  freezing: 'moving',
  moving: 'moving',
  failed: 'failed',
}

/** A state by its colour on the axis and by its word. */
export function StateTag({ word, count }: { readonly word: ChunkWord; readonly count?: string }): ReactNode {
  return (
    <span className={styles['tag']}>
      <span className={styles['swatch']} data-look={looks[word]} aria-hidden="true" />
      {count === undefined ? word : `${count} ${word}`}
    </span>
  )
}
