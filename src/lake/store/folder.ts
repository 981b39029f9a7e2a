import { randomUUID } from 'node:crypto'
import { type FileHandle, link, mkdir, open, opendir, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { TidemarkError } from '../../util/errors.ts'
import type { ObjectStore, StoredObject } from '../contract.ts'

const maxKnownFolders = 10_000
const maxKnownFiles = 100_000

/** Files that are being written; below the root, so that they get their name by a link and never by a copy. */
const temporaryPrefix = 'tmp'

/**
 * The lake in a folder. Made when something is first written.
 *
 * @example
 * const store = createFolderStore({ dir: '.tidemark/lake' })
 */
export function createFolderStore(options: { readonly dir: string }): ObjectStore {
  const root = resolve(options.dir)
  const description = `the folder ${options.dir}`

  function localPath(path: string): string {
    if (!isPath(path)) throw new TidemarkError('TM_LAKE', badPath(path))
    return join(root, ...path.split('/'))
  }

  /**
   * Files that were there once: they are never changed, and looking again would cost every query a wait. Whoever opens one that
   * has gone since is told so.
   */
  const seen = new Set<string>()

  /** Folders whose entries, up to the root's own, are on disk. */
  const synced = new Map<string, Promise<void>>()

  /**
   * Makes the folder and syncs all above it, once in the life of the store: another process may have made it and died
   * before it was synced.
   */
  async function makeFolder(folder: string): Promise<void> {
    const known = synced.get(folder)
    if (known !== undefined) return known
    const making = (async () => {
      await makeAll(folder)
      for (let made = folder; ; made = dirname(made)) {
        await syncFolder(dirname(made))
        if (made === root || made === dirname(made)) break
      }
    })()
    if (synced.size >= maxKnownFolders) synced.clear()
    synced.set(folder, making)
    try {
      await making
    } catch (error) {
      synced.delete(folder)
      throw error
    }
  }

  return {
    description,

    async temporaryFile() {
      const folder = join(root, temporaryPrefix)
      try {
        await makeFolder(folder)
      } catch (error) {
        throw refused(`the folder ${folder}`, error)
      }
      return join(folder, randomUUID())
    },

    async put(localFile, path, signal) {
      const target = localPath(path)
      let isLinked = false
      try {
        await syncFile(localFile)
        assertGoesOn(signal, path)
        await makeFolder(dirname(target))
        // link, not rename: it never overwrites
        await link(localFile, target).catch(async (error: unknown) => {
          if (!isAbsent(error) || !synced.delete(dirname(target))) throw error
          // somebody tidied up empty folders
          await makeFolder(dirname(target))
          await link(localFile, target)
        })
        isLinked = true
        await syncFolder(dirname(target))
        await unlink(localFile)
      } catch (error) {
        // the name came from us, so nothing of others goes; what the first problem is stays the answer
        if (isLinked) await rm(target, { force: true }).catch(() => {})
        throw error instanceof TidemarkError ? error : refused(target, error)
      }
    },

    async localFile(path, signal) {
      const local = localPath(path)
      assertGoesOn(signal, path)
      if (seen.has(path)) return local
      try {
        await stat(local)
      } catch (error) {
        throw refused(local, error)
      }
      if (seen.size >= maxKnownFiles) seen.clear()
      seen.add(path)
      return local
    },

    async stat(path) {
      const local = localPath(path)
      try {
        const found = await stat(local)
        return found.isFile() ? { path, bytes: found.size, modifiedAt: found.mtime } : null
      } catch (error) {
        if (isAbsent(error)) return null
        throw refused(local, error)
      }
    },

    list: (prefix) => list(root, prefix),

    async remove(path) {
      const local = localPath(path)
      seen.delete(path)
      try {
        await unlink(local)
      } catch (error) {
        if (isAbsent(error)) return
        throw refused(local, error)
      }
    },
  }
}

async function* list(root: string, prefix: string): AsyncGenerator<StoredObject> {
  // a prefix may end in the middle of a name
  const cut = prefix.lastIndexOf('/')
  const folder = cut < 0 ? '' : prefix.slice(0, cut)
  if (folder !== '' && !isPath(folder)) throw new TidemarkError('TM_LAKE', badPath(prefix))
  yield* walk(root, folder, prefix)
}

async function* walk(root: string, folder: string, prefix: string): AsyncGenerator<StoredObject> {
  const local = join(root, ...folder.split('/'))
  try {
    for await (const entry of await opendir(local)) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) {
        if (`${path}/`.startsWith(prefix) || prefix.startsWith(`${path}/`)) yield* walk(root, path, prefix)
      } else if (entry.isFile() && path.startsWith(prefix)) {
        const found = await stat(join(local, entry.name)).catch((error: unknown) => {
          // removed since it was listed
          if (isAbsent(error)) return null
          throw error
        })
        if (found) yield { path, bytes: found.size, modifiedAt: found.mtime }
      }
    }
  } catch (error) {
    if (error instanceof TidemarkError) throw error
    if (!isAbsent(error)) throw refused(local, error)
  }
}

/** Not mkdir's own recursion: on a full disk it says that there is no such file. */
async function makeAll(folder: string): Promise<void> {
  try {
    await mkdir(folder)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return
    if (codeOf(error) !== 'ENOENT' || dirname(folder) === folder) throw error
    await makeAll(dirname(folder))
    await makeAll(folder)
  }
}

async function syncFile(path: string): Promise<void> {
  await withHandle(path, (handle) => handle.sync())
}

/** What makes a name survive a power cut. Windows has no such call and needs none. */
async function syncFolder(path: string): Promise<void> {
  if (sep === '/') await withHandle(path, (handle) => handle.sync())
}

async function withHandle(path: string, use: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await use(handle)
  } finally {
    await handle.close()
  }
}

/** Segments of letters, digits and `.`, `_`, `-`, `%`, `=`, none of them `.` or `..`. */
function isPath(path: string): boolean {
  return path.split('/').every((part) => /^[a-zA-Z0-9._%=-]+$/.test(part) && part !== '.' && part !== '..')
}

function badPath(path: string): { what: string; problem: string; todo: string } {
  return {
    what: `the path ${JSON.stringify(path)}`,
    problem: 'it is not one of the lake',
    todo: 'paths are made of letters, digits and . _ - % = in segments between slashes',
  }
}

function assertGoesOn(signal: AbortSignal | null, path: string): void {
  if (!signal?.aborted) return
  throw signal.reason instanceof TidemarkError
    ? signal.reason
    : new TidemarkError('TM_CANCELLED', { what: `storing ${path}` })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function isAbsent(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR'
}

const reasons: Readonly<Record<string, readonly [problem: string, todo: string]>> = {
  ENOSPC: [
    'the disk is full',
    'free space on it, or move the lake to a larger one (lake.dir), and try again',
  ],
  EDQUOT: ['the quota of the disk is used up', 'free space, or raise the quota, and try again'],
  EACCES: ['permission is denied', 'let the user that runs tidemark write to the folder'],
  EPERM: ['permission is denied', 'let the user that runs tidemark write to the folder'],
  EROFS: ['the file system is read-only', 'mount it for writing, or choose another folder (lake.dir)'],
  EEXIST: ['there is a file already', 'paths are used once: try again under a new name'],
  ENOENT: ['it is not there', 'look whether it was removed or the lake is elsewhere (lake.dir)'],
  ENOTDIR: ['a part of its path is a file', 'choose another folder (lake.dir)'],
}

/** An error of the file system as people can act on it. */
export function refused(what: string, error: unknown): TidemarkError {
  const [problem, todo] = reasons[codeOf(error)] ?? [
    error instanceof Error ? error.message : String(error),
    'see what the disk reports',
  ]
  return new TidemarkError('TM_LAKE', { what, problem, todo }, { cause: error })
}
