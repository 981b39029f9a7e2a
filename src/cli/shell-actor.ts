import { userInfo } from 'node:os'
import type { Actor } from '../access/index.ts'
import { allTenants } from '../schema/index.ts'

/** Somebody who runs a command: he has the database's URL, so everything is his already. */
export function actorAtShell(): Actor {
  return {
    kind: 'cli',
    id: nameOfUser(),
    tenant: allTenants,
    datasets: null,
    requestId: null,
    address: null,
  }
}

/** A container's user may have no name. */
function nameOfUser(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
