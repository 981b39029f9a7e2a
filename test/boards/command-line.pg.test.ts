import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const config = `
import { defineConfig, hypertable, t } from 'tidemark/schema'
const events = hypertable('events', {
  columns: { time: t.timestamptz(), tenant: t.text() }, time: 'time', tenant: 'tenant', chunk: '1 day',
})
export default defineConfig({ datasets: [events], boards: ['overview.json'] })
`
const board = {
  name: 'Events',
  description: 'All of them',
  document: {
    range: { from: '-1 day' },
    panels: [
      {
        id: 'n',
        title: 'Events',
        chart: 'number',
        place: { x: 0, y: 0, w: 3, h: 2 },
        query: { dataset: 'events', select: { n: { fn: 'count' } } },
      },
    ],
  },
}

let test: TestDatabase
let folder: string
beforeAll(async () => {
  test = await createTestDatabase()
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-boards-'))
  await writeFile(join(folder, 'tidemark.config.ts'), config)
  await writeFile(join(folder, 'overview.json'), JSON.stringify(board))
}, 60_000)
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await test.drop()
})

const { run, json } = createCommandLine({
  cwd: () => folder,
  env: () => ({ DATABASE_URL: test.connectionString }),
})

it('boards are stored from files, listed by whose they are, and written as files again', async () => {
  const { data: made } = await json('boards', 'import', 'overview.json', '--tenant', 'acme')
  expect(made).toMatchObject({ name: 'Events', source: 'stored', version: 1 })
  const { data: mine } = await json('boards', 'list', '--tenant', 'acme')
  expect(mine.map(({ id }: { id: string }) => id).sort()).toEqual([made.id, 'file-overview'].sort())
  const exported = await run('boards', 'export', made.id, '--tenant', 'acme', '--out', 'again.json')
  expect(exported).toMatchObject({ code: 0 })
  expect(JSON.parse(await readFile(join(folder, 'again.json'), 'utf8'))).toEqual(board)
  const { data: saved } = await json('boards', 'import', 'again.json', '--tenant', 'acme', '--id', made.id)
  expect(saved).toMatchObject({ id: made.id, version: 2 })
})
