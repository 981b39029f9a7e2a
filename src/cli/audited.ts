import type { Tidemark } from '../engine.ts'
import { isTidemarkError } from '../util/errors.ts'
import type { Output } from './output.ts'
import { actorAtShell } from './shell-actor.ts'

/** An administrative act, as the audit log names it; over HTTP it has the same name. */
export interface ShellAct {
  /** `freeze`, `dead-letters.replay`, … */
  readonly act: string
  readonly subject: string | null
  /** How it was asked for. Never a secret, nor a value of a condition. */
  readonly detail?: Readonly<Record<string, unknown>>
}

export type Audited = <T>(
  act: ShellAct,
  run: () => Promise<T>,
  /** What it came to, in some numbers. */
  came?: (result: T) => Readonly<Record<string, unknown>>,
) => Promise<T>

/** Nothing was asked of the database, and nothing can be written there. */
const unreached: ReadonlySet<string> = new Set(['TM_CONNECT', 'TM_LOGIN'])

/** Does acts, and notes in the audit log who did each at this shell, and what came of it. */
export function createAudited(tm: Pick<Tidemark, 'access'>, output: Pick<Output, 'warn'>): Audited {
  const note = async (
    { act, subject, detail }: ShellAct,
    outcome: 'done' | 'refused' | 'failed',
    came: Readonly<Record<string, unknown>>,
  ): Promise<void> => {
    const all = { ...detail, ...came }
    try {
      await tm.access.audit.record(actorAtShell(), {
        act,
        subject,
        outcome,
        detail: Object.keys(all).length === 0 ? null : all,
      })
    } catch (error) {
      // what was done is done, and its report is worth more than a second error
      output.warn(`"${act}" could not be written to the audit log: ${(error as Error).message}`)
    }
  }
  return async (act, run, came = () => ({})) => {
    const result = await run().catch(async (error: unknown) => {
      const told = isTidemarkError(error) ? error : null
      if (told !== null && unreached.has(told.code)) throw error
      const isRefused = told !== null && told.status < 500 && told.code !== 'TM_CANCELLED'
      await note(act, isRefused ? 'refused' : 'failed', { code: told?.code ?? 'TM_INTERNAL' })
      throw error
    })
    await note(act, 'done', came(result))
    return result
  }
}
