import { createDatabase } from '../postgres/index.ts'

/**
 * Keeps one session open. Who has started an embedded server stops it when nobody has a session any more, and a command that waits
 * between two jobs may have none of its own.
 *
 * @param connectionString null: of no server.
 */
export async function holdSession(connectionString: string | null): Promise<AsyncDisposable> {
  if (connectionString === null) return { [Symbol.asyncDispose]: async () => {} }
  const db = createDatabase({ connectionString, max: 1 })
  let end = (): void => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  let held: Promise<void> | undefined
  await new Promise<void>((resolve, reject) => {
    held = db.withConnection(async () => {
      resolve()
      await ended
    })
    held.catch(reject)
  })
  return {
    async [Symbol.asyncDispose]() {
      end()
      await held
      await db.close()
    },
  }
}
