import type { ProblemList } from './problems.ts'
import { Section } from './section.ts'

/** Room for live answers; docs/guide/live.md. */
export interface LiveSectionOptions {
  /** What all live answers of a process take together, `'256MB'` or bytes. Default 256 MiB. */
  readonly memory?: string | number
  /** Part of the subscriptions, questions and memory of a process that one tenant may hold, above 0 and up to 1. Default 0.25. */
  readonly tenantShare?: number
}

export interface LiveConfig {
  readonly memoryBytes: number
  readonly tenantShare: number
}

const mebibyte = 1024 * 1024

export const liveConfigDefaults = Object.freeze({
  memoryBytes: 256 * mebibyte,
  tenantShare: 0.25,
} satisfies LiveConfig)

/** The section `server.live`. */
export function readLive(problems: ProblemList, input: unknown): LiveConfig {
  const d = liveConfigDefaults
  const live = Section.read(problems, '.server.live', input, ['memory', 'tenantShare'])
  const tenantShare = live.share('tenantShare', d.tenantShare)
  if (tenantShare === 0)
    problems.add('.server.live.tenantShare', 'is 0: no tenant could subscribe to anything')
  return Object.freeze({
    memoryBytes: live.bytes('memory', d.memoryBytes, mebibyte) as number,
    tenantShare,
  })
}
