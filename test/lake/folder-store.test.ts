import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFolderStore } from '../../src/lake/index.ts'
import { objectStoreSuite } from '../suites/object-store.ts'

objectStoreSuite('in a folder that is made when it is needed', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-store-'))
  return {
    store: createFolderStore({ dir: join(dir, 'made', 'later') }),
    close: () => rm(dir, { recursive: true, force: true }),
  }
})

describe('a folder as a store', () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'tidemark-store-'))
  })
  afterAll(() => rm(dir, { recursive: true, force: true }))

  it('keeps unfinished files below tmp/, in the same file system, where they are listed', async () => {
    const store = createFolderStore({ dir: join(dir, 'tmp-listed') })
    const local = await store.temporaryFile()
    expect(local.startsWith(join(dir, 'tmp-listed', 'tmp') + '/')).toBe(true)
    await writeFile(local, 'half')
    const found: string[] = []
    for await (const { path } of store.list('tmp/')) found.push(path)
    expect(found).toEqual([`tmp/${local.split('/').at(-1)}`])
  })

  it('says what is in the way when a part of the path is a file', async () => {
    writeFileSync(join(dir, 'occupied'), '')
    const store = createFolderStore({ dir: join(dir, 'occupied', 'lake') })
    await expect(store.temporaryFile()).rejects.toMatchObject({ code: 'TM_LAKE' })
  })

  it('says that permission is missing', async ({ skip }) => {
    const isRoot = process.getuid?.() === 0
    // root may write everywhere, so it becomes somebody else for a moment
    if (isRoot && !process.seteuid) skip('root in a worker thread cannot become another user')
    mkdirSync(join(dir, 'closed'))
    chmodSync(dir, 0o755)
    chmodSync(join(dir, 'closed'), 0o555)
    const store = createFolderStore({ dir: join(dir, 'closed', 'lake') })
    if (isRoot) process.seteuid?.(65_534)
    try {
      await expect(store.temporaryFile()).rejects.toMatchObject({
        code: 'TM_LAKE',
        message: expect.stringContaining('permission'),
      })
    } finally {
      if (isRoot) process.seteuid?.(0)
    }
  })

  it('says that the disk is full, and leaves nothing at the path', async ({ skip }) => {
    if (!canMount()) skip('mounting a small disk needs root with CAP_SYS_ADMIN')
    const small = join(dir, 'small')
    mkdirSync(small)
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,nr_inodes=10', 'tmpfs', small])
    expect(mounted.status).toBe(0)
    try {
      const store = createFolderStore({ dir: small })
      const local = await store.temporaryFile()
      writeFileSync(local, 'x')
      // every inode but those of tmp, the file and the root is taken
      for (let i = 0; i < 20; i += 1) {
        try {
          writeFileSync(join(small, `filler${i}`), '')
        } catch {
          break
        }
      }
      await expect(store.put(local, 'a.b/c/d', null)).rejects.toMatchObject({
        code: 'TM_LAKE',
        message: expect.stringContaining('the disk is full'),
      })
      expect(existsSync(join(small, 'a.b', 'c', 'd'))).toBe(false)
      expect(readdirSync(join(small, 'tmp'))).toHaveLength(1)
    } finally {
      spawnSync('umount', [small])
    }
  })
})

/** A container may forbid it; then the disk is filled elsewhere, in the lane for it. */
function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const probe = spawnSync('sh', ['-c', 'd=$(mktemp -d) && mount -t tmpfs tmpfs $d && umount $d && rmdir $d'])
  return probe.status === 0
}
