import { constants } from 'node:fs'
import { access, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ObjectStore } from '../lake/index.ts'
import type { Lifecycle } from '../lifecycle/index.ts'

/** The lake as status and doctor look at it. */
export interface LakeHandle {
  readonly dir: string
  readonly store: ObjectStore
  readonly lifecycle: Lifecycle
}

export interface FolderState {
  readonly exists: boolean
  readonly isWritable: boolean
  /** Of the file system that holds it, or would. */
  readonly freeBytes: number
  readonly totalBytes: number
}

/** Of a folder that is not there yet: what holds for the nearest one above that is. */
export async function lookAtFolder(dir: string): Promise<FolderState> {
  const exists = await isThere(dir)
  let nearest = dir
  while (!(await isThere(nearest)) && dirname(nearest) !== nearest) nearest = dirname(nearest)
  const isWritable = await access(nearest, constants.W_OK).then(
    () => true,
    () => false,
  )
  const { bavail, blocks, bsize } = await statfs(nearest)
  return { exists, isWritable, freeBytes: bavail * bsize, totalBytes: blocks * bsize }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
