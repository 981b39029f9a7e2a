import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { ColumnInfo, ExplainedDeadLetter } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { Button, ErrorBox, Menu, Select, Tabs, TextArea, TextField } from '../../ui/index.ts'
import styles from './dead-letters.module.css'
import { allowedIn, type DraftField, draftOf, type Row, readRow, rowOf } from './draft.ts'

export interface EditorProps {
  readonly letter: ExplainedDeadLetter
  /** Of its dataset; null: they are not known here. */
  readonly columns: readonly ColumnInfo[] | null
  /** The row is saved; `isWanted`: and shall be replayed. */
  onSaved(letter: ExplainedDeadLetter, isWanted: boolean): void
  onClose(): void
}

/** Corrects the row of a letter: field by field, or as JSON. */
export function Editor({ letter, columns, onSaved, onClose }: EditorProps): ReactNode {
  const client = useClient()
  const queries = useQueryClient()
  const first = typeof letter.row === 'object' && letter.row !== null ? (letter.row as Row) : {}
  const [mode, setMode] = useState<'fields' | 'json'>(columns === null ? 'json' : 'fields')
  const [fields, setFields] = useState(() => draftOf(first, columns ?? []))
  const [text, setText] = useState(() => JSON.stringify(first, null, 2))
  const [refused, setRefused] = useState<Readonly<Record<string, string>>>(() => problemsOf(letter))
  const [problem, setProblem] = useState<string | null>(null)
  const save = useMutation({
    mutationFn: async ({ row }: { row: Row; isWanted: boolean }) =>
      client.operations.editDeadLetter(letter.id, row),
    onSuccess: (saved, { isWanted }) => {
      queries.setQueryData(['dead-letter', saved.id], saved)
      void queries.invalidateQueries({ queryKey: ['dead-letters'] })
      setRefused(problemsOf(saved))
      if (saved.problems.length === 0) onSaved(saved, isWanted)
    },
  })
  const box = useRef<HTMLFormElement>(null)
  // what has to be corrected is what comes next, by keyboard and for screen readers
  useEffect(() => {
    const field =
      box.current?.querySelector<HTMLElement>('[aria-invalid=true]') ??
      box.current?.querySelector('input, textarea')
    if (field instanceof HTMLElement) field.focus()
  }, [])
  const submit = (isWanted: boolean): void => {
    const typed = mode === 'json' ? readRow(text) : null
    const { row, problems } =
      typed === null || typeof typed === 'string' ? rowOf(fields) : { row: typed, problems: {} }
    setProblem(typeof typed === 'string' ? typed : null)
    setRefused(problems)
    if (typeof typed !== 'string' && Object.keys(problems).length === 0) save.mutate({ row, isWanted })
  }
  const show = (next: 'fields' | 'json'): void => {
    const row = next === 'json' ? rowOf(fields).row : readRow(text)
    setProblem(typeof row === 'string' ? row : null)
    if (typeof row === 'string') return
    if (next === 'json') setText(JSON.stringify(row, null, 2))
    else setFields(draftOf(row, columns ?? []))
    setMode(next)
  }
  const count = Object.keys(refused).length
  return (
    <form
      ref={box}
      className={styles['editor']}
      onSubmit={(event) => {
        event.preventDefault()
        submit(false)
      }}
    >
      {columns !== null && (
        <Tabs
          label="Edit as"
          value={mode}
          tabs={[
            { value: 'fields', label: 'Fields' },
            { value: 'json', label: 'JSON' },
          ]}
          onChange={show}
        />
      )}
      {mode === 'fields' ? (
        <Fields fields={fields} problems={refused} onChange={setFields} />
      ) : (
        <TextArea
          label="Row"
          rows={14}
          value={text}
          onChange={setText}
          hint="An object with a value for each column."
          error={
            problem ??
            Object.entries(refused)
              .map(([name, says]) => `${name}: ${says}`)
              .join(' ')
          }
        />
      )}
      {mode === 'fields' && problem !== null && <p className={styles['problem']}>{problem}</p>}
      <p role="status" className={styles['quiet']}>
        {save.isSuccess &&
          count > 0 &&
          `Saved; ${count === 1 ? 'one column does' : `${count} columns do`} not fit yet.`}
      </p>
      {save.isError && <ErrorBox error={save.error} />}
      <div className={styles['acts']}>
        <Button kind="primary" busy={save.isPending} onClick={() => submit(true)}>
          Save and replay
        </Button>
        <Button type="submit" busy={save.isPending}>
          Save
        </Button>
        <Button kind="quiet" onClick={onClose}>
          Cancel
        </Button>
      </div>
    </form>
  )
}

/** By column; what no single column is to blame for is under ''. */
function problemsOf({ problems }: ExplainedDeadLetter): Record<string, string> {
  return Object.fromEntries(problems.map(({ column, problem }) => [column ?? '', problem]))
}

function Fields({
  fields,
  problems,
  onChange,
}: {
  readonly fields: readonly DraftField[]
  readonly problems: Readonly<Record<string, string>>
  onChange(fields: DraftField[]): void
}): ReactNode {
  const change = (name: string, part: Partial<DraftField>): void =>
    onChange(fields.map((field) => (field.name === name ? { ...field, ...part } : field)))
  const strays = fields.filter(({ column, holds }) => column === null && holds !== 'nothing')
  const free = fields.filter(({ column, holds }) => column !== null && holds === 'nothing')
  return (
    <>
      {problems[''] !== undefined && <p className={styles['problem']}>{problems['']}</p>}
      {strays.map((stray) => (
        <div key={stray.name} className={styles['stray']}>
          <p>
            <strong>“{stray.name}”</strong> is no column; it holds <code>{stray.text || 'null'}</code>
          </p>
          <div className={styles['acts']}>
            {free.length > 0 && (
              <Select
                label={`Move ${stray.name} to`}
                hideLabel
                value=""
                options={[
                  { value: '', label: 'Move to…' },
                  ...free.map(({ name }) => ({ value: name, label: `Move to ${name}` })),
                ]}
                onChange={(to) =>
                  onChange(
                    fields.map((field) =>
                      field.name === to
                        ? { ...field, holds: stray.holds, text: stray.text }
                        : field.name === stray.name
                          ? { ...field, holds: 'nothing' }
                          : field,
                    ),
                  )
                }
              />
            )}
            <Button onClick={() => change(stray.name, { holds: 'nothing' })}>Remove {stray.name}</Button>
          </div>
        </div>
      ))}
      {fields.map(
        ({ name, column, holds, text }) =>
          column !== null && (
            <div key={name} className={styles['fieldRow']}>
              <TextField
                label={name}
                value={holds === 'value' ? text : ''}
                placeholder={holds === 'null' ? 'null' : holds === 'nothing' ? 'left out' : ''}
                hint={`${allowedIn(column)}${column.comment === null ? '' : `. ${column.comment}`}`}
                error={problems[name] && `${problems[name]}. ${allowedIn(column)}`}
                onChange={(typed) => change(name, { holds: 'value', text: typed })}
              />
              <Menu
                label={`More for ${name}`}
                icon="more"
                kind="quiet"
                items={[
                  { label: 'Leave it out', run: () => change(name, { holds: 'nothing', text: '' }) },
                  {
                    label: 'Set to null',
                    disabled: !column.nullable,
                    note: column.nullable ? '' : 'never null',
                    run: () => change(name, { holds: 'null', text: '' }),
                  },
                ]}
              />
            </div>
          ),
      )}
    </>
  )
}
