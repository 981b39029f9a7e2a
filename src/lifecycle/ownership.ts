import { rm, writeFile } from 'node:fs/promises'
import type { ObjectStore } from '../lake/index.ts'
import type { Database } from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import type { LifecycleContext } from './context.ts'

/** Leaves the mark of this database, where it is not there yet; its path. */
export async function markLake(db: Database, store: ObjectStore): Promise<string> {
  const { rows } = await db.query(sql`
    select i.system_identifier || '-' || i.timeline || '-' || i.database_oid from tidemark.change_identity() as i`)
  const own = `${prefix}${rows[0]![0] as string}`
  if ((await store.stat(own)) === null) {
    const local = await store.temporaryFile()
    await writeFile(local, `${JSON.stringify({ claimedAt: new Date().toISOString() })}\n`).catch(
      async (cause: Error) => {
        await rm(local, { force: true })
        throw new TidemarkError(
          'TM_LAKE',
          {
            what: store.description,
            problem: `cannot be written: ${cause.message}`,
            todo: 'make room there, then try again; rows stayed where they were',
          },
          { cause },
        )
      },
    )
    await store.put(local, own, null).catch(async (error: unknown) => {
      // Another worker of this database was quicker.
      if ((await store.stat(own)) === null) throw error
    })
  }
  return own
}

/**
 * Which databases remove files from a lake. A copy of a database (restored from a dump, or to a point in time) names
 * the same files and does not know the later ones: swept by it, they would be lost to the other. So each database that
 * moves chunks into the lake or sweeps it leaves a mark, by system identifier, timeline and database; where there is the
 * mark of another one nothing is removed, until somebody says that the other is gone (`adopt`). After a failover, too: the
 * timeline is a new one.
 */
export async function claimLake(db: Database, store: ObjectStore, adopt: boolean): Promise<string | null> {
  const own = await markLake(db, store)
  const others: string[] = []
  for await (const { path } of store.list(prefix)) if (path !== own) others.push(path)
  if (others.length === 0) return null
  if (adopt) {
    for (const path of others) await store.remove(path)
    return null
  }
  return (
    `another database uses ${store.description} (${others.map((path) => path.slice(prefix.length)).join(', ')}): ` +
    'sweep with adopt when it is gone for good, or give each database a lake of its own'
  )
}

/**
 * That the lake is the one which the catalog knows: another folder (a service that was started elsewhere, a mount that is
 * not there) would get a part of the files, and no process would find all of them again.
 *
 * @throws TidemarkError TM_LAKE when the newest file of the catalog is not there.
 */
export async function assertSameLake({ db, store }: Pick<LifecycleContext, 'db' | 'store'>): Promise<void> {
  const { rows } = await db.query(sql`select path from tidemark.lake_file order by id desc limit 1`)
  const path = rows[0]?.[0] as string | undefined
  if (path === undefined || (await store.stat(path)) !== null) return
  throw new TidemarkError('TM_LAKE', {
    what: store.description,
    problem: `it does not have ${path}, which the catalog of this database names`,
    todo: 'give the folder that holds the files (lake.dir, and root where it is relative), or mount it',
  })
}

const prefix = 'owner/'
