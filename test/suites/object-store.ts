import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ObjectStore, StoredObject } from '../../src/lake/index.ts'

export interface ObjectStoreFixture {
  readonly store: ObjectStore
  close(): Promise<void>
}

/** What every store of lake files promises. */
export function objectStoreSuite(name: string, open: () => Promise<ObjectStoreFixture>): void {
  describe(`the store ${name}`, () => {
    let fixture: ObjectStoreFixture
    let store: ObjectStore

    beforeAll(async () => {
      fixture = await open()
      store = fixture.store
    })

    afterAll(() => fixture.close())

    async function put(path: string, bytes: Uint8Array): Promise<void> {
      const local = await store.temporaryFile()
      await writeFile(local, bytes)
      await store.put(local, path, null)
    }

    async function list(prefix: string): Promise<StoredObject[]> {
      const found: StoredObject[] = []
      for await (const object of store.list(prefix)) found.push(object)
      return found.sort((a, b) => (a.path < b.path ? -1 : 1))
    }

    it('gives back the bytes that were put', async () => {
      const bytes = randomBytes(100_000)
      const before = Date.now()
      await put('a.b/2026-01-01T000000Z/one.parquet', bytes)
      const local = await store.localFile('a.b/2026-01-01T000000Z/one.parquet', null)
      expect(Buffer.compare(await readFile(local), bytes)).toBe(0)
      const found = await store.stat('a.b/2026-01-01T000000Z/one.parquet')
      expect(found).toMatchObject({ path: 'a.b/2026-01-01T000000Z/one.parquet', bytes: 100_000 })
      // clocks of file systems are coarse
      expect(found!.modifiedAt.getTime()).toBeGreaterThan(before - 5000)
      expect(found!.modifiedAt.getTime()).toBeLessThan(Date.now() + 5000)
    })

    it('keeps names with percent signs and dots apart', async () => {
      await put('a%2Eb.c/x/_f.1.summary', Buffer.from('1'))
      await put('a.b.c/x/_f.1.summary', Buffer.from('2'))
      expect(await readFile(await store.localFile('a%2Eb.c/x/_f.1.summary', null), 'utf8')).toBe('1')
      expect(await readFile(await store.localFile('a.b.c/x/_f.1.summary', null), 'utf8')).toBe('2')
    })

    it('takes the local file over: none is left behind', async () => {
      const local = await store.temporaryFile()
      await writeFile(local, 'x')
      await store.put(local, 'taken/over', null)
      expect(existsSync(local)).toBe(false)
    })

    it('never overwrites: a path that is taken is refused, and what is there stays', async () => {
      await put('twice/file', Buffer.from('first'))
      const local = await store.temporaryFile()
      await writeFile(local, 'second')
      await expect(store.put(local, 'twice/file', null)).rejects.toMatchObject({ code: 'TM_LAKE' })
      expect(await readFile(await store.localFile('twice/file', null), 'utf8')).toBe('first')
    })

    it('lists what is below a prefix, and nothing else', async () => {
      for (const path of ['l.a/1/x', 'l.a/1/y', 'l.a/2/x', 'l.ab/1/x']) await put(path, Buffer.from(path))
      expect((await list('l.a/')).map(({ path }) => path)).toEqual(['l.a/1/x', 'l.a/1/y', 'l.a/2/x'])
      expect((await list('l.a/1/')).map(({ path, bytes }) => [path, bytes])).toEqual([
        ['l.a/1/x', 7],
        ['l.a/1/y', 7],
      ])
      expect((await list('l.a')).map(({ path }) => path)).toEqual([
        'l.a/1/x',
        'l.a/1/y',
        'l.a/2/x',
        'l.ab/1/x',
      ])
      expect(await list('nothing/here/')).toEqual([])
      expect((await list('')).map(({ path }) => path)).toEqual(
        expect.arrayContaining(['l.a/1/x', 'l.ab/1/x']),
      )
    })

    it('removes an object, and does not mind when there is none', async () => {
      await put('gone/soon', Buffer.from('x'))
      await store.remove('gone/soon')
      expect(await store.stat('gone/soon')).toBeNull()
      await store.remove('gone/soon')
      await store.remove('never/was/there')
      await expect(store.localFile('gone/soon', null)).rejects.toMatchObject({ code: 'TM_LAKE' })
    })

    it('says null of what is not there', async () => {
      expect(await store.stat('not/there')).toBeNull()
    })

    it('refuses paths that lead out of it', async () => {
      for (const path of ['../x', 'a/../../x', '/etc/passwd', 'a//b', '', 'a/./b', 'a\\b', 'a b', 'a\0b'])
        await expect(store.stat(path), path).rejects.toMatchObject({ code: 'TM_LAKE' })
    })

    it('stops at an aborted signal and leaves nothing at the path', async () => {
      const local = await store.temporaryFile()
      await writeFile(local, 'x')
      await expect(store.put(local, 'aborted/put', AbortSignal.abort())).rejects.toMatchObject({
        code: 'TM_CANCELLED',
      })
      expect(await store.stat('aborted/put')).toBeNull()
    })

    it('leaves nothing at the path when the local file is not there', async () => {
      const local = await store.temporaryFile()
      await expect(store.put(local, 'from/nothing', null)).rejects.toMatchObject({ code: 'TM_LAKE' })
      expect(await store.stat('from/nothing')).toBeNull()
    })

    it('takes many at once, each once', async () => {
      const results = await Promise.allSettled(
        Array.from({ length: 40 }, (_, i) => put(`many/${i % 20}`, Buffer.from(String(i)))),
      )
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(20)
      expect(await list('many/')).toHaveLength(20)
    })
  })
}
