import { useQueryClient } from '@tanstack/react-query'
import { type FormEvent, type ReactNode, useState } from 'react'
import { isTidemarkClientError } from 'tidemark/client'
import { useClient } from '../api/index.ts'
import { Button, Code, TextField } from '../ui/index.ts'
import styles from './sign-in.module.css'
import { useTitle } from './title.ts'

/** The way in: an API key, or a token of the team's own sign-in, for a cookie of eight hours. */
export function SignIn(): ReactNode {
  useTitle('Sign in')
  const client = useClient()
  const queries = useQueryClient()
  const [key, setKey] = useState('')
  const [error, setError] = useState('')
  const [isBusy, setIsBusy] = useState(false)
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault()
    if (key.trim() === '') return setError('Paste a key; it begins with tm_')
    setIsBusy(true)
    setError('')
    try {
      await client.session.signIn(key.trim())
      setKey('')
      await queries.resetQueries()
    } catch (problem) {
      setError(
        isTidemarkClientError(problem) && problem.status === 401
          ? 'This key is not good: mistyped, expired or revoked. Make one where the server runs: tidemark keys create'
          : problem instanceof Error
            ? problem.message
            : String(problem),
      )
    } finally {
      setIsBusy(false)
    }
  }
  return (
    <main className={styles['page']}>
      <form className={styles['form']} onSubmit={(event) => void submit(event)}>
        <h1>
          <img src="/icon.svg" alt="" width={32} height={32} /> Tidemark
        </h1>
        <TextField
          label="API key or token"
          type="password"
          autoComplete="current-password"
          autoFocus
          value={key}
          onChange={setKey}
          error={error}
          hint="It is sent once and kept by nobody; a cookie stands for it for eight hours."
        />
        <Button type="submit" kind="primary" busy={isBusy}>
          Sign in
        </Button>
        <details>
          <summary>I have no key</summary>
          <p>Where the server runs, make one:</p>
          <Code text="npx tidemark keys create me --scope query,admin --all-tenants" copy />
        </details>
      </form>
    </main>
  )
}
