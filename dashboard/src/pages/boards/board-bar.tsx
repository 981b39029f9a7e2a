import { type ReactNode, useEffect, useEffectEvent, useState } from 'react'
import { Button, ErrorBox } from '../../ui/index.ts'
import styles from './board.module.css'
import { isSame } from './document.ts'
import type { Range, Refresh } from './use-board-url.ts'
import type { Editing } from './use-editing.ts'
import type { Saving } from './use-saving.ts'

/** What is at hand while a board is edited. */
export function BoardBar({
  editing,
  saving,
  range,
  refresh,
  onAdd,
}: {
  readonly editing: Editing
  readonly saving: Saving
  /** Where it is looked at otherwise than the board says. */
  readonly range: Range | null
  readonly refresh: Refresh | null
  readonly onAdd: () => void
}): ReactNode {
  const [said, setSaid] = useState('')
  const { document } = editing.draft
  const undo = (): void => {
    const act = editing.undo()
    setSaid(act === null ? 'Nothing is left to undo' : `Undone: ${act}`)
  }
  const redo = (): void => {
    const act = editing.redo()
    setSaid(act === null ? 'Nothing is left to redo' : `Done again: ${act}`)
  }
  const pressed = useEffectEvent((event: KeyboardEvent) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return
    const isField = event.target instanceof HTMLElement && event.target.matches('input, textarea, select')
    if (isField || window.document.querySelector('dialog[open]') !== null) return
    const key = event.key.toLowerCase()
    if (key === 'z' && !event.shiftKey) undo()
    else if (key === 'y' || key === 'z') redo()
    else return
    event.preventDefault()
  })
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => pressed(event)
    addEventListener('keydown', listen)
    return () => removeEventListener('keydown', listen)
  }, [])
  const isOtherRange = range !== null && !isSame(range, document.range)
  const isOtherRefresh = refresh !== null && refresh !== (document.refresh ?? 'off')

  return (
    <section className={styles['bar']} aria-label="Editing">
      <div className={styles['barRow']}>
        <Button icon="plus" onClick={onAdd}>
          Add panel
        </Button>
        <Button aria-disabled={!editing.canUndo} onClick={undo} title="Ctrl+Z">
          Undo
        </Button>
        <Button aria-disabled={!editing.canRedo} onClick={redo} title="Ctrl+Shift+Z">
          Redo
        </Button>
        {(isOtherRange || isOtherRefresh) && (
          <Button
            onClick={() =>
              editing.change('set what the board opens with', (now) => ({
                ...now,
                document: {
                  ...now.document,
                  ...(range === null ? {} : { range }),
                  ...(refresh === null ? {} : { refresh }),
                },
              }))
            }
          >
            Open with this range
          </Button>
        )}
        <span className={styles['grow']} />
        <span className={styles['quiet']}>{editing.isChanged ? 'Not saved yet' : 'No changes'}</span>
        <Button onClick={saving.discard}>{editing.isChanged ? 'Discard' : 'Done'}</Button>
        {editing.isChanged && (
          <Button kind="primary" busy={saving.busy} title="Ctrl+S" onClick={() => void saving.save()}>
            Save
          </Button>
        )}
      </div>
      {saving.error !== null && <ErrorBox error={saving.error} retry={() => void saving.save()} />}
      <div role="status" aria-live="polite" className="visually-hidden">
        {said}
      </div>
    </section>
  )
}
