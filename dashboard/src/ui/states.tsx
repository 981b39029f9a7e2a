import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { isTidemarkClientError } from 'tidemark/client'
import { Button } from './button.tsx'
import { Code } from './code.tsx'
import { Icon } from './icon.tsx'
import styles from './states.module.css'

export interface SkeletonProps {
  readonly lines?: number
  readonly width?: number | string
  /** Of what comes, so that nothing moves. */
  readonly height?: number | string
}

/** The place of what is on its way. */
export function Skeleton({ lines, width, height }: SkeletonProps): ReactNode {
  if (lines === undefined)
    return (
      <div
        className={styles['skeleton']}
        style={{ width: width ?? '100%', height: height ?? 16 }}
        aria-hidden="true"
      />
    )
  return (
    <div aria-hidden="true">
      {Array.from({ length: lines }, (_, i) => (
        <div
          // biome-ignore lint/suspicious/noArrayIndexKey: lines have nothing else
          key={i}
          className={styles['skeleton']}
          style={{ width: `${[96, 82, 90, 70][i % 4]}%`, height: 14, marginBottom: 10 }}
        />
      ))}
    </div>
  )
}

export interface EmptyProps {
  readonly title: string
  /** To copy: the next step. */
  readonly command?: string
  readonly action?: ReactNode
  readonly children?: ReactNode
}

/** There is nothing yet, and this is how something comes. */
export function Empty({ title, command, action, children }: EmptyProps): ReactNode {
  return (
    <div className={styles['empty']}>
      <h2>{title}</h2>
      {children && <div className={styles['teach']}>{children}</div>}
      {command && <Code text={command} copy />}
      {action}
    </div>
  )
}

export interface ErrorBoxProps {
  readonly error: unknown
  retry?(): void
}

/** What went wrong, in the server's words, which say what to do; with the id of its log. */
export function ErrorBox({ error, retry }: ErrorBoxProps): ReactNode {
  const { title, text, code, id } = describe(error)
  return (
    <div className={styles['error']} role="alert">
      <Icon name="warning" />
      <div>
        <h2>{title}</h2>
        <p>{text}</p>
        {(code || id) && (
          <p className={styles['small']}>
            {code}
            {id && ` · request ${id}`}
          </p>
        )}
        {retry && (
          <Button small icon="refresh" onClick={retry}>
            Try again
          </Button>
        )}
      </div>
    </div>
  )
}

function describe(error: unknown): { title: string; text: string; code: string | null; id: string | null } {
  if (!isTidemarkClientError(error))
    return { title: 'The page has made a mistake', text: String(error), code: null, id: null }
  const { code, requestId: id } = error
  const [first = '', ...rest] = error.message.split('\n')
  if (code === 'TM_NO_ANSWER')
    return {
      title: 'The server does not answer',
      text: 'What is shown may be old. This page asks again by itself; whether the server runs is told by `tidemark doctor` where it is.',
      code,
      id,
    }
  if (error.status === 403)
    return { title: 'Your key may not do this', text: [first, ...rest].join(' '), code, id }
  return { title: titleOf(error.status), text: [first, ...rest].join(' '), code, id }
}

const titleOf = (status: number | null): string =>
  status === null
    ? 'It did not work'
    : status === 404
      ? 'There is no such thing'
      : status === 429
        ? 'Too many requests'
        : status >= 500
          ? 'The server could not do it'
          : 'The server refused this'

/** The frame tells that the server is away, once for the whole page. */
const isAway = (error: unknown): boolean => isTidemarkClientError(error) && error.code === 'TM_NO_ANSWER'

export interface QueryProps<T> {
  readonly result: UseQueryResult<T>
  readonly skeleton: ReactNode
  readonly children: (data: T) => ReactNode
}

/** The skeleton, what went wrong, or the data; data that is there stays while newer is asked for. */
export function Query<T>({ result, skeleton, children }: QueryProps<T>): ReactNode {
  if (result.data !== undefined)
    return (
      <>
        {result.isError && !isAway(result.error) && (
          <ErrorBox error={result.error} retry={() => void result.refetch()} />
        )}
        {children(result.data)}
      </>
    )
  if (result.isError) return <ErrorBox error={result.error} retry={() => void result.refetch()} />
  return (
    <div aria-busy="true">
      <span className="visually-hidden" role="status">
        Loading
      </span>
      {skeleton}
    </div>
  )
}
