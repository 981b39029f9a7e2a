import { readFile } from 'node:fs/promises'

/** The operating system's user that the server runs as. */
export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/**
 * PostgreSQL refuses to run as root. As root this is the user `postgres`, else `nobody`, else the first ordinary
 * user; otherwise null: the server runs as whoever we are.
 */
export async function accountForServer(): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null
  const accounts = parseAccounts(await readFile('/etc/passwd', 'utf8').catch(() => ''))
  const named = (name: string) => accounts.find((account) => account.name === name)
  return (
    named('postgres') ??
    named('nobody') ??
    accounts.find(({ uid }) => uid >= 1000) ??
    accounts[0] ?? { name: 'nobody', uid: 65534, gid: 65534 }
  )
}

/** All but root, in the order of the file. */
export function parseAccounts(passwd: string): Account[] {
  const accounts: Account[] = []
  for (const line of passwd.split('\n')) {
    const [name, , uid, gid] = line.split(':')
    if (name && Number(uid) > 0 && Number(gid) >= 0)
      accounts.push({ name, uid: Number(uid), gid: Number(gid) })
  }
  return accounts
}

/** For spawn: nothing when there is no other account. */
export function asAccount(account: Account | null): { uid?: number; gid?: number } {
  return account ? { uid: account.uid, gid: account.gid } : {}
}
