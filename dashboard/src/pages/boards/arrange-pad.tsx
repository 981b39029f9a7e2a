import type { ReactNode } from 'react'
import { Button } from '../../ui/index.ts'
import styles from './grid.module.css'
import type { Direction } from './layout.ts'

const moves: readonly [Direction, string, string][] = [
  ['left', '←', 'Move left'],
  ['up', '↑', 'Move up'],
  ['down', '↓', 'Move down'],
  ['right', '→', 'Move right'],
]
const sizes: readonly [Direction, string, string][] = [
  ['left', '⇤', 'Narrower'],
  ['right', '⇥', 'Wider'],
  ['up', '⤒', 'Lower'],
  ['down', '⤓', 'Higher'],
]

/** The same as the arrow keys, for those who can press but not drag. */
export function ArrangePad({
  title,
  onGo,
  onDone,
  onCancel,
}: {
  readonly title: string
  readonly onGo: (direction: Direction, isResize: boolean) => void
  readonly onDone: () => void
  readonly onCancel: () => void
}): ReactNode {
  const group = (
    label: string,
    buttons: readonly [Direction, string, string][],
    isResize: boolean,
  ): ReactNode => (
    <fieldset className={styles['padGroup']}>
      <legend>{label}</legend>
      {buttons.map(([direction, sign, name]) => (
        <button
          key={direction}
          type="button"
          className={styles['padButton']}
          aria-label={name}
          title={name}
          onClick={() => onGo(direction, isResize)}
        >
          <span aria-hidden>{sign}</span>
        </button>
      ))}
    </fieldset>
  )
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape on one of its buttons takes the panel back
    <div
      className={styles['pad']}
      onKeyDown={(event) => {
        if (event.key !== 'Escape') return
        event.preventDefault()
        onCancel()
      }}
    >
      {group('Move', moves, false)}
      {group('Size', sizes, true)}
      <p className={styles['padHint']}>
        Arrow keys move, <kbd>Shift</kbd> with them resizes
      </p>
      <div className={styles['padActions']}>
        <Button small kind="primary" onClick={onDone}>
          Put down <span className="visually-hidden">{title}</span>
        </Button>
        <Button small onClick={onCancel}>
          Take back
        </Button>
      </div>
    </div>
  )
}
