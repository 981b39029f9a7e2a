import { forgetSeen, rotateSeen } from '../../pipeline/index.ts'
import type { Database } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import { boundMicros } from '../../time/index.ts'
import type { Job } from '../job.ts'

/** Begins a new generation of event ids when the window has passed, and forgets the one before the last; null: there are none. */
export function forgetEventsJob(definition: HypertableDefinition, db: Database): Job | null {
  if (definition.dedupe === null) return null
  const withinMs = Number(boundMicros(definition.dedupe.within).most / 1000n)
  return {
    name: `forget-events ${definition.name}`,
    everyMs: Math.min(10 * 60_000, withinMs / 10),
    leaseMs: 10 * 60_000,
    async run({ signal }) {
      const { isRotated, deleted } = await rotateSeen(db, definition.name, { withinMs, signal })
      return { isRotated, deleted }
    },
  }
}

/** Forgets the event ids of hypertables whose `dedupe` was taken away, or that are no more. */
export function forgetUndeclaredJob(definitions: readonly HypertableDefinition[], db: Database): Job {
  const declared = definitions.filter(({ dedupe }) => dedupe !== null).map(({ name }) => name)
  return {
    name: 'forget-undeclared',
    everyMs: 10 * 60_000,
    leaseMs: 10 * 60_000,
    async run({ signal }) {
      return { deleted: await forgetSeen(db, { declared, signal }) }
    },
  }
}
