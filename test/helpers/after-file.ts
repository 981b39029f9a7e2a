type Task = (hasFailed: boolean) => Promise<void> | void

const tasks: Task[] = []

/**
 * Has something put away after the last test of the file that runs, last come first. A helper cannot call vitest's own
 * `afterAll` for that: it is loaded once for many files (`isolate: false`), and its hooks would belong to the first of them.
 *
 * @example
 * afterFile(() => rm(folder, { recursive: true }))
 */
export function afterFile(task: Task): void {
  tasks.push(task)
}

/** Called by setup.ts; one task that fails does not keep the others from their work. */
export async function endFile(hasFailed: boolean): Promise<void> {
  const errors: unknown[] = []
  for (let task = tasks.pop(); task; task = tasks.pop()) {
    try {
      await task(hasFailed)
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length === 1) throw errors[0]
  if (errors.length > 1) throw new AggregateError(errors)
}
