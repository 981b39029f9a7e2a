import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createTestDatabase } from '../helpers/database.ts'
import { startProcess } from '../helpers/processes.ts'

it('a table that was never frozen costs no DuckDB and no folder, whatever is done with it', async () => {
  const test = await createTestDatabase()
  const root = await mkdtemp(join(tmpdir(), 'tidemark-never-'))
  try {
    const child = await startProcess('test/engine/never-frozen-child.ts', [test.connectionString, root])
    const { code, out, err } = await child.ended
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(JSON.parse(out)).toEqual({ sources: ['hot'], loaded: [] })
    expect(await readdir(root)).toEqual([])
  } finally {
    await test.drop()
    await rm(root, { recursive: true })
  }
})
