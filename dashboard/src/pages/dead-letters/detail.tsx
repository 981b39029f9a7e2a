import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { ExplainedDeadLetter } from 'tidemark/client'
import { may, useClient, useDatasets, useMe } from '../../api/index.ts'
import { Badge, Button, Code, Query, Skeleton, Time } from '../../ui/index.ts'
import { Advice, Facts } from '../operate/index.ts'
import styles from './dead-letters.module.css'
import { Editor, type EditorProps } from './editor.tsx'
import { stateOf } from './words.ts'

export interface DetailProps {
  readonly id: string
  onReplay(letter: ExplainedDeadLetter): void
  onDelete(letter: ExplainedDeadLetter): void
}

/** One letter: what was wrong, what is allowed, what to do; and its correction. */
export function Detail(props: DetailProps): ReactNode {
  const client = useClient()
  const letter = useQuery({
    queryKey: ['dead-letter', props.id],
    queryFn: ({ signal }) => client.operations.deadLetter(props.id, { signal }),
  })
  return (
    <Query result={letter} skeleton={<Skeleton height={360} />}>
      {(data) => <Explained key={data.id} letter={data} {...props} />}
    </Query>
  )
}

function Explained({
  letter,
  onReplay,
  onDelete,
}: Omit<DetailProps, 'id'> & { readonly letter: ExplainedDeadLetter }): ReactNode {
  const me = useMe()
  const [isEdited, setIsEdited] = useState(false)
  const edit = useRef<HTMLButtonElement>(null)
  const wasEdited = useRef(false)
  // the editor has taken the focus, and gives it back
  useEffect(() => {
    if (wasEdited.current && !isEdited) edit.current?.focus()
    wasEdited.current = isEdited
  }, [isEdited])
  const { kind, label } = stateOf(letter.state)
  return (
    <>
      <div className={styles['why']}>
        <p className={styles['words']}>{letter.message}</p>
        {letter.problems
          .filter(({ problem }) => !letter.message.includes(problem))
          .map(({ column, value, problem }) => (
            <p key={`${column} ${problem}`}>
              {column !== null && <code>{column}</code>} {problem}
              {value !== '' && (
                <>
                  : <code>{value}</code>
                </>
              )}
            </p>
          ))}
      </div>
      {!isEdited && letter.allowed.length > 0 && (
        <div>
          <h3 className={styles['heading']}>What is allowed</h3>
          <ul className={styles['allowed']}>
            {letter.allowed.map((words) => (
              <li key={words}>{words}</li>
            ))}
          </ul>
        </div>
      )}
      {!isEdited && (
        <div>
          <h3 className={styles['heading']}>What to do</h3>
          <Advice text={letter.todo} />
        </div>
      )}
      {isEdited ? (
        <Editing
          letter={letter}
          knowsColumns={may(me, 'query')}
          onSaved={(saved, isWanted) => {
            setIsEdited(false)
            if (isWanted) onReplay(saved)
          }}
          onClose={() => setIsEdited(false)}
        />
      ) : (
        <>
          <div className={styles['acts']}>
            <Button ref={edit} kind="primary" icon="edit" onClick={() => setIsEdited(true)}>
              {letter.canReplay ? 'Edit the row' : 'Give the row'}
            </Button>
            {letter.canReplay && (
              <Button icon="play" onClick={() => onReplay(letter)}>
                Replay
              </Button>
            )}
            <Button kind="danger" icon="trash" onClick={() => onDelete(letter)}>
              Delete…
            </Button>
          </div>
          <Code
            copy
            label="As it came"
            text={
              letter.row === null
                ? 'Nothing of it is kept.'
                : typeof letter.row === 'string'
                  ? letter.row
                  : JSON.stringify(letter.row, null, 2)
            }
          />
        </>
      )}
      <Facts
        of={[
          [
            'State',
            <Badge key="state" kind={kind}>
              {label}
            </Badge>,
          ],
          ['Dataset', letter.dataset],
          ['Came', <Time key="at" value={letter.at} precision="second" />],
          ['By', `${letter.source}, ${letter.source.includes('/') ? 'line' : 'place'} ${letter.line}`],
          ['Tenant', letter.tenant],
        ]}
      />
    </>
  )
}

/** Whoever may not list datasets edits JSON. */
function Editing({
  knowsColumns,
  ...props
}: Omit<EditorProps, 'columns'> & { readonly knowsColumns: boolean }): ReactNode {
  return knowsColumns ? <EditingFields {...props} /> : <Editor {...props} columns={null} />
}

function EditingFields(props: Omit<EditorProps, 'columns'>): ReactNode {
  const datasets = useDatasets()
  if (datasets.isPending) return <Skeleton height={320} />
  const dataset = datasets.data?.find(({ name }) => name === props.letter.dataset)
  return <Editor {...props} columns={dataset?.columns ?? null} />
}
