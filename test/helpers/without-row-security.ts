import type { Database } from '../../src/postgres/index.ts'

/** Takes back what migrate does for a table with a tenant: for tests of policies that people make themselves. */
export async function withoutRowSecurity(db: Database, table: string): Promise<void> {
  await db.execute(`
    drop policy tidemark_tenant on ${table};
    drop policy tidemark_login on ${table};
    alter table ${table} no force row level security, disable row level security`)
}
