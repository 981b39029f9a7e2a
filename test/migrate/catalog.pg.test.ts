import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { migrateCatalog, readCatalogMigrations } from '../../src/migrate/index.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { isTidemarkError, type TidemarkError } from '../../src/util/errors.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
let folder: URL
beforeEach(async () => {
  test = await createTestDatabase({ empty: true })
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-sql-'))
  folder = pathToFileURL(`${dir}/`)
  const sql = new URL('../../sql/', import.meta.url)
  for (const file of await readdir(sql)) await copyFile(new URL(file, sql), new URL(file, folder))
})
afterEach(async () => {
  await rm(fileURLToPath(folder), { recursive: true })
  await test.drop()
})

async function rejection(promise: Promise<unknown>): Promise<TidemarkError> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  )
  if (!isTidemarkError(error)) throw new Error(`not refused as expected: ${String(error)}`)
  return error
}

async function column(text: string): Promise<unknown[]> {
  return (await test.db.query(raw(text))).rows.map((row) => row[0])
}

describe("migrating Tidemark's catalog", () => {
  it('applies every file once when twenty processes start at once', async () => {
    const names = (await readCatalogMigrations()).map((m) => m.name)
    const all = Array.from({ length: 20 }, () =>
      createDatabase({ connectionString: test.connectionString, max: 1 }),
    )
    try {
      const reports = await Promise.all(all.map((db) => migrateCatalog(db)))
      expect(reports.flatMap((r) => r.applied).sort()).toEqual(names)
    } finally {
      await Promise.all(all.map((db) => db.close()))
    }
    expect(await column('select name from tidemark.migration order by id')).toEqual(names)
    expect((await migrateCatalog(test.db)).applied).toEqual([])
  })

  it('has numbered files without a gap in their order', async () => {
    const ids = (await readCatalogMigrations()).map((m) => m.id)
    expect(ids).toEqual(ids.map((_, i) => i))
  })

  it('leaves nothing of a file that fails, and goes on from there', async () => {
    const broken = new URL('000900_broken.sql', folder)
    await writeFile(broken, 'create table tidemark.half (a int);\nselect 1 / 0;\n')
    await rejection(migrateCatalog(test.db, { folder }))
    expect(await column(`select to_regclass('tidemark.half')::text`)).toEqual([null])
    expect(await column('select max(id) from tidemark.migration')).not.toEqual([900])
    await writeFile(broken, 'create table tidemark.half (a int);\n')
    expect((await migrateCatalog(test.db, { folder })).applied).toEqual(['000900_broken'])
  })

  it('refuses a file that was edited after it was applied', async () => {
    await migrateCatalog(test.db, { folder })
    const file = new URL('000001_catalog.sql', folder)
    await writeFile(file, `${await readFile(file, 'utf8')}\n-- edited`)
    const error = await rejection(migrateCatalog(test.db, { folder }))
    expect(error.code).toBe('TM_MIGRATION')
    expect(error.message).toContain('"000001_catalog" is not the one that Tidemark')
  })

  it('takes other line ends for the same file', async () => {
    await migrateCatalog(test.db, { folder })
    const file = new URL('000001_catalog.sql', folder)
    await writeFile(file, (await readFile(file, 'utf8')).replaceAll('\n', '\r\n'))
    expect((await migrateCatalog(test.db, { folder })).applied).toEqual([])
  })

  it('refuses two files of one number', async () => {
    await writeFile(new URL('000001_other.sql', folder), 'select 1')
    expect((await rejection(migrateCatalog(test.db, { folder }))).message).toContain('have the number 000001')
  })

  it('refuses a database of a newer version only when that version says that it breaks older ones', async () => {
    await writeFile(new URL('000901_harmless.sql', folder), 'create table tidemark.newer (a int);\n')
    await migrateCatalog(test.db, { folder })
    expect((await migrateCatalog(test.db)).applied).toEqual([])
    await writeFile(
      new URL('000902_breaking.sql', folder),
      '-- breaking: chunks have another name\ncreate table tidemark.newest (a int);\n',
    )
    await migrateCatalog(test.db, { folder })
    const error = await rejection(migrateCatalog(test.db))
    expect(error.code).toBe('TM_MIGRATION')
    expect(error.message).toMatch(
      /migrated by Tidemark \S+ with "000902_breaking".*chunks have another name.*or newer/,
    )
  })

  it('tells a role without rights what it needs, and works when it has got it', async () => {
    const role = `${test.name}_r`
    await test.db.execute(`create role ${role} login`)
    const url = new URL(test.connectionString)
    url.username = role
    const db = createDatabase({ connectionString: url.href, max: 1 })
    try {
      const error = await rejection(migrateCatalog(db))
      expect(error.code).toBe('TM_MIGRATION')
      const grant = `grant create on database "${test.name}" to "${role}"`
      expect(error.message).toContain(grant)
      await test.db.execute(grant)
      expect((await migrateCatalog(db)).applied).not.toEqual([])
    } finally {
      await db.close()
      await test.db.execute(`drop owned by ${role} cascade; drop role ${role}`)
    }
  })

  it('waits for another process no longer than it was told', async () => {
    const other = await test.connect()
    await other.execute(`begin; select pg_advisory_xact_lock(${0x74696465})`)
    const error = await rejection(migrateCatalog(test.db, { waitMs: 50 }))
    expect(error.code).toBe('TM_BUSY')
    await other.execute('rollback')
    expect((await migrateCatalog(test.db)).applied).not.toEqual([])
  })
})
