import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from '../../src/util/sql.ts'
import type { World } from './world.ts'

/** When, and how often, the backends that work for an engine are ended. */
export interface KillPlan {
  readonly afterMs: number
  readonly times: number
  /** When the clock starts to run; default: at once. */
  readonly begins?: Promise<void>
}

/**
 * Runs a call and ends the backends that work for an engine under its hands, as an administrator, a crash of a backend or
 * a failover would. Returns when nothing of it runs any more.
 */
export async function underFire<T>(
  world: World,
  plan: KillPlan,
  call: () => Promise<T>,
): Promise<{ readonly ended: PromiseSettledResult<T>; readonly killed: number }> {
  let isOver = false
  const running = call().finally(() => {
    isOver = true
  })
  const outcome = Promise.allSettled([running])
  const victims: number[] = []
  await Promise.race([plan.begins, outcome])
  for (let i = 0; i < plan.times && !isOver; i += 1) {
    await sleep(plan.afterMs)
    // materialized: PostgreSQL would ask pg_terminate_backend first, and of everybody
    const { rows } = await world.real.db.query(sql`
      with victim as materialized (
        select pid
        from pg_stat_activity
        where datname = current_database() and application_name = 'tidemark' and state <> 'idle'
      )
      select pid from victim where pg_terminate_backend(pid)`)
    victims.push(...rows.map(([pid]) => pid as number))
  }
  const [ended] = await outcome
  await world.settled()
  for (let tries = 0; victims.length > 0; tries += 1) {
    const { rows } = await world.real.db.query(
      sql`select count(*) from pg_stat_activity where pid = any (${victims}::int4[])`,
    )
    if (rows[0]![0] === 0n) break
    if (tries > 2000) throw new Error('a backend that was ended does not leave')
    await sleep(5)
  }
  // The engine's sockets have to hear of it, too.
  await sleep(10)
  return { ended, killed: victims.length }
}
