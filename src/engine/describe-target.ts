import { TidemarkError } from '../util/errors.ts'

/** Host, port and database of a connection string, for people. @throws TidemarkError TM_CONFIG where it is no URL. */
export function describeTarget(connectionString: string): string {
  try {
    const { hostname, port, pathname } = new URL(connectionString)
    return `${hostname}:${port || '5432'}${pathname}`
  } catch {
    // the text may hold a password, so it is not shown
    throw new TidemarkError('TM_CONFIG', {
      path: 'connectionString',
      problem: 'is not a URL such as postgres://user@host:5432/database',
    })
  }
}
