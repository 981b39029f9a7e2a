import { findHypertable } from '../changelog/index.ts'
import type { Subject } from '../lifecycle/index.ts'
import type { Queryable } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { isTidemarkError } from '../util/errors.ts'

/** The declared hypertables that this database knows as such. */
export async function findSubjects(
  db: Queryable,
  definitions: readonly StoredDefinition[],
): Promise<Subject[]> {
  const subjects: Subject[] = []
  for (const definition of definitions) {
    if (definition.kind !== 'hypertable') continue
    try {
      subjects.push({ definition, hypertable: await findHypertable(db, definition) })
    } catch (error) {
      if (!isTidemarkError(error) || error.code !== 'TM_MIGRATION') throw error
    }
  }
  return subjects
}
