import { type ReactNode, useRef, useState } from 'react'
import type { BoardInput } from 'tidemark/client'
import { useDatasets } from '../../api/index.ts'
import { Button, Dialog, ErrorBox, Skeleton, TextArea, TextField } from '../../ui/index.ts'
import { readBoardText } from './board-file.ts'
import { emptyDocument } from './document.ts'
import styles from './new-board.module.css'
import { templated, templateOf } from './templates.ts'
import { useBoardActs } from './use-board-acts.ts'

/** A board from nothing, from a dataset, or from a file. */
export function NewBoard({
  isImport,
  onClose,
}: {
  readonly isImport: boolean
  readonly onClose: () => void
}): ReactNode {
  const [isFile, setFile] = useState(isImport)
  return (
    <Dialog title={isFile ? 'Import a board' : 'New board'} isOpen onClose={onClose}>
      {isFile ? (
        <ImportForm onDone={onClose} />
      ) : (
        <StartForm onDone={onClose} onImport={() => setFile(true)} />
      )}
    </Dialog>
  )
}

const blank = ''

function StartForm({
  onDone,
  onImport,
}: {
  readonly onDone: () => void
  readonly onImport: () => void
}): ReactNode {
  const acts = useBoardActs()
  const datasets = useDatasets()
  const choices = templated(datasets.data ?? [])
  const [chosen, setChosen] = useState<string | null>(null)
  const [name, setName] = useState<string | null>(null)
  const { busy, error, run } = useRunning()
  const from = chosen ?? choices[0]?.name ?? blank
  const dataset = choices.find((one) => one.name === from)
  const template: BoardInput = dataset ? templateOf(dataset) : { name: 'New board', document: emptyDocument }
  const called = name ?? template.name

  return (
    <form
      className={styles['form']}
      onSubmit={(event) => {
        event.preventDefault()
        void run(async () => {
          await acts.create({ ...template, name: called.trim() }, { isEditing: !dataset })
          onDone()
        })
      }}
    >
      <fieldset className={styles['choices']}>
        <legend>Start with</legend>
        {/* nothing can be chosen yet: what is preselected depends on what comes */}
        {datasets.isPending && <Skeleton height={160} />}
        {choices.slice(0, 8).map((one) => (
          <Choice
            key={one.name}
            value={one.name}
            chosen={from}
            title={one.name}
            hint={
              one.time === null
                ? 'How many rows, and some of them'
                : 'Rows over time, its numbers, its groups'
            }
            onChoose={setChosen}
          />
        ))}
        {!datasets.isPending && (
          <Choice
            value={blank}
            chosen={from}
            title="Nothing"
            hint="Panels come from Explore, or one by one"
            onChoose={setChosen}
          />
        )}
      </fieldset>
      <TextField
        label="Name"
        value={datasets.isPending ? (name ?? '') : called}
        onChange={setName}
        required
        maxLength={200}
      />
      {error !== null && <ErrorBox error={error} />}
      <div className={styles['actions']}>
        <Button kind="quiet" onClick={onImport}>
          Import a file instead
        </Button>
        <Button kind="primary" type="submit" busy={busy || datasets.isPending}>
          Make board
        </Button>
      </div>
    </form>
  )
}

function Choice({
  value,
  chosen,
  title,
  hint,
  onChoose,
}: {
  readonly value: string
  readonly chosen: string
  readonly title: string
  readonly hint: string
  readonly onChoose: (value: string) => void
}): ReactNode {
  return (
    <label className={styles['choice']}>
      <input
        type="radio"
        name="start"
        value={value}
        checked={value === chosen}
        onChange={() => onChoose(value)}
      />
      <span>
        <strong>{title}</strong>
        <small>{hint}</small>
      </span>
    </label>
  )
}

function ImportForm({ onDone }: { readonly onDone: () => void }): ReactNode {
  const acts = useBoardActs()
  const [text, setText] = useState('')
  const [problem, setProblem] = useState<string | null>(null)
  const file = useRef<HTMLInputElement>(null)
  const { busy, error, run } = useRunning()
  const take = (given: string): void => {
    setText(given)
    setProblem(null)
  }
  return (
    <form
      className={styles['form']}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault()
        void event.dataTransfer.files[0]?.text().then(take)
      }}
      onSubmit={(event) => {
        event.preventDefault()
        const read = readBoardText(text)
        if ('problem' in read) return setProblem(read.problem)
        void run(async () => {
          await acts.create(read.board)
          onDone()
        })
      }}
    >
      <p className={styles['quiet']}>
        A board that was exported here, by <code>tidemark boards export</code>, or written by hand. It becomes
        a board of your own; nothing is overwritten.
      </p>
      <div>
        <Button onClick={() => file.current?.click()}>Choose a file</Button>
        <input
          ref={file}
          type="file"
          accept=".json,application/json"
          hidden
          aria-label="File of a board"
          onChange={(event) => void event.target.files?.[0]?.text().then(take)}
        />
      </div>
      <TextArea
        label="Or paste it"
        value={text}
        onChange={take}
        rows={10}
        placeholder='{ "name": "Latency", "document": { "range": { "from": "-1 day" }, "panels": [] } }'
        error={problem}
      />
      {error !== null && <ErrorBox error={error} />}
      <div className={styles['actions']}>
        <Button kind="primary" type="submit" busy={busy}>
          Import board
        </Button>
      </div>
    </form>
  )
}

/** One act at a time, and what went wrong with the last one. */
function useRunning(): {
  readonly busy: boolean
  readonly error: unknown
  run(act: () => Promise<void>): Promise<void>
} {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  return {
    busy,
    error,
    async run(act) {
      setBusy(true)
      setError(null)
      try {
        await act()
      } catch (caught) {
        setError(caught)
      } finally {
        setBusy(false)
      }
    },
  }
}
