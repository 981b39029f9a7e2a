import { actorAtShell } from '../../src/cli/shell-actor.ts'
import { raw } from '../../src/util/sql.ts'
import type { TestDatabase } from './database.ts'

/** What the audit log has of this user's commands, oldest first: `freeze metrics.requests done`. */
export async function shellActs({
  db,
}: Pick<TestDatabase, 'db'>): Promise<{ act: string; detail: unknown }[]> {
  const { rows } = await db.query(
    raw(
      `select concat_ws(' ', act, subject, outcome), actor_kind, actor, detail from tidemark.audit_log order by id`,
    ),
  )
  return rows
    .filter(([, kind, actor]) => kind === 'cli' && actor === actorAtShell().id)
    .map(([act, , , detail]) => ({ act: act as string, detail }))
}
