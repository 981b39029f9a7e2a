import { type ReactNode, useId, useState } from 'react'
import type { Panel } from 'tidemark/client'
import { Button, Dialog, TextArea, TextField } from '../../ui/index.ts'
import styles from './board.module.css'

/** Title, note and unit of a panel. */
export function PanelWordsDialog({
  panel,
  onSave,
  onClose,
}: {
  readonly panel: Panel
  readonly onSave: (words: { readonly title: string; readonly note: string; readonly unit: string }) => void
  readonly onClose: () => void
}): ReactNode {
  const [title, setTitle] = useState(panel.title)
  const [note, setNote] = useState(panel.note ?? '')
  const [unit, setUnit] = useState(panel.unit ?? '')
  return (
    <FormDialog
      title={`Rename “${panel.title}”`}
      onClose={onClose}
      onSave={() => onSave({ title: title.trim(), note: note.trim(), unit: unit.trim() })}
    >
      <TextField label="Title" value={title} onChange={setTitle} required maxLength={200} autoFocus />
      <TextField
        label="Unit"
        hint="ms, bytes and percent are written as people read them; any other word is put behind the numbers."
        value={unit}
        onChange={setUnit}
        maxLength={40}
      />
      <TextArea
        label="Note"
        hint="What readers should know: where the numbers come from, what is good, whom to ask."
        value={note}
        onChange={setNote}
        rows={3}
        maxLength={2000}
      />
    </FormDialog>
  )
}

/** Name and description of a board. */
export function BoardWordsDialog({
  name: oldName,
  description: oldDescription,
  onSave,
  onClose,
}: {
  readonly name: string
  readonly description: string | null
  readonly onSave: (words: { readonly name: string; readonly description: string | null }) => void
  readonly onClose: () => void
}): ReactNode {
  const [name, setName] = useState(oldName)
  const [description, setDescription] = useState(oldDescription ?? '')
  return (
    <FormDialog
      title="Rename board"
      onClose={onClose}
      onSave={() => onSave({ name: name.trim(), description: description.trim() || null })}
    >
      <TextField label="Name" value={name} onChange={setName} required maxLength={200} autoFocus />
      <TextArea label="Description" value={description} onChange={setDescription} rows={3} maxLength={2000} />
    </FormDialog>
  )
}

function FormDialog({
  title,
  onSave,
  onClose,
  children,
}: {
  readonly title: string
  readonly onSave: () => void
  readonly onClose: () => void
  readonly children: ReactNode
}): ReactNode {
  const id = useId()
  return (
    <Dialog
      title={title}
      isOpen
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" form={id}>
            Rename
          </Button>
        </>
      }
    >
      <form
        id={id}
        className={styles['stack']}
        onSubmit={(event) => {
          event.preventDefault()
          onSave()
          onClose()
        }}
      >
        {children}
      </form>
    </Dialog>
  )
}
