import type { ObjectStore } from '../../../src/lake/index.ts'
import type { Connection, Database } from '../../../src/postgres/index.ts'

/** Counts what is asked of the database and of the store, and dies at the n-th of it. Nothing in the product knows. */
export class FaultPoint {
  count = 0
  #at = Infinity
  #when: 'before' | 'after' = 'before'

  arm(at: number, when: 'before' | 'after'): void {
    this.count = 0
    this.#at = at
    this.#when = when
  }

  async pass<T>(run: () => Promise<T>): Promise<T> {
    this.count += 1
    const isMine = this.count === this.#at
    if (isMine && this.#when === 'before') die()
    const result = await run()
    if (isMine) die()
    return result
  }
}

/** At once: no handler runs, nothing is flushed, no connection is closed in order. */
function die(): void {
  process.kill(process.pid, 'SIGKILL')
}

export function doomedStore(store: ObjectStore, point: FaultPoint): ObjectStore {
  return {
    description: store.description,
    temporaryFile: () => point.pass(() => store.temporaryFile()),
    put: (local, path, signal) => point.pass(() => store.put(local, path, signal)),
    localFile: (path, signal) => point.pass(() => store.localFile(path, signal)),
    stat: (path) => point.pass(() => store.stat(path)),
    list: (prefix) => store.list(prefix),
    remove: (path) => point.pass(() => store.remove(path)),
  }
}

export function doomedDatabase(db: Database, point: FaultPoint): Database {
  const wrap = (connection: Connection): Connection => ({
    processId: connection.processId,
    query: (statement, options) => point.pass(() => connection.query(statement, options)),
    execute: (script) => point.pass(() => connection.execute(script)),
    copyFrom: (statement, source, options) =>
      point.pass(() => connection.copyFrom(statement, source, options)),
    async *copyTo(statement, options) {
      await point.pass(async () => {})
      yield* connection.copyTo(statement, options)
    },
    cursor: (statement, options) => connection.cursor(statement, options),
  })
  return {
    query: (statement, options) => point.pass(() => db.query(statement, options)),
    execute: (script) => point.pass(() => db.execute(script)),
    withConnection: (use, options) => db.withConnection((connection) => use(wrap(connection)), options),
    // after: the commit has arrived, and nobody is there to hear of it
    transaction: (options, use) =>
      point.pass(() => db.transaction(options, (connection) => use(wrap(connection)))),
    reading: (options, use) => db.reading(options, use),
    serverVersion: () => db.serverVersion(),
    close: () => db.close(),
  }
}
