import type { TestProject } from 'vitest/node'
import { accountForServer } from '../../src/postgres/embedded/account.ts'
import { prepareBinaries } from '../../src/postgres/embedded/binaries.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { raw } from '../../src/util/sql.ts'
import { startTestServer, type TestServer } from './test-server.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgres: {
      readonly lane: string
      /** The lanes of this run. */
      readonly lanes: readonly string[]
      readonly connectionString: string
      readonly template: string
    }
  }
}

/** Of its own, because runs may share the server of DATABASE_URL. */
const template = `tidemark_test_template_${process.pid}`

/** Starts the server of a lane once, and makes the template that every test database is copied from. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const lane = project.name
  const server = await serverOf(lane)
  try {
    await makeTemplate(server.connectionString)
  } catch (error) {
    await server.stop()
    throw error
  }
  const lanes = project.vitest.projects.map(({ name }) => name).filter((name) => name !== 'unit')
  project.provide('postgres', { lane, lanes, connectionString: server.connectionString, template })
  return async () => {
    if (lane === 'pg-url') await dropTemplate(server.connectionString)
    await server.stop()
  }
}

async function serverOf(lane: string): Promise<TestServer> {
  if (lane === 'pg-url') {
    const connectionString = process.env['DATABASE_URL']!
    return { connectionString, dir: '', stop: async () => {} }
  }
  if (lane === 'pg15') return startTestServer(lane, '/usr/lib/postgresql/15/bin')
  const { bin } = await prepareBinaries(await accountForServer())
  return startTestServer(lane, bin)
}

async function dropTemplate(connectionString: string): Promise<void> {
  const admin = createDatabase({ connectionString, max: 1 })
  await admin.execute(`drop database if exists ${template}`).finally(() => admin.close())
}

async function makeTemplate(connectionString: string): Promise<void> {
  const admin = createDatabase({ connectionString, max: 1 })
  try {
    await admin.execute(`drop database if exists ${template}`)
    await admin.execute(`create database ${template} template template0`)
    const url = new URL(connectionString)
    url.pathname = `/${template}`
    const db = createDatabase({ connectionString: url.href, max: 2 })
    try {
      // The catalog's own tests start from nothing and ask for an empty database instead.
      const { migrateCatalog } = await import('../../src/migrate/index.ts')
      await migrateCatalog(db)
    } finally {
      await db.close()
    }
    // CREATE DATABASE waits for backends of the template that are still leaving.
    await admin.query(
      raw(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${template}'`),
    )
  } finally {
    await admin.close()
  }
}
