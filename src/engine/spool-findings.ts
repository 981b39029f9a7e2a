import type { SpoolStatus } from '../pipeline/index.ts'

/** As doctor's others are. */
interface SpoolFinding {
  readonly check: string
  readonly level: 'ok' | 'warn'
  readonly message: string
  readonly todo: string | null
}

/** A batch that waits longer than this is not just on its way. */
const lateMs = 60_000

/** What doctor says of rows that were acknowledged before they were written. */
export function spoolFindings(status: SpoolStatus, maxBytes: number, nowMs: number): SpoolFinding[] {
  const check = 'spool'
  const { lanes, waitingBytes, dir } = status
  if (waitingBytes === 0)
    return [{ check, level: 'ok', message: 'nothing waits in the spool to be written', todo: null }]
  const left = lanes.filter(({ isOwned, waitingBytes }) => !isOwned && waitingBytes > 0)
  const findings: SpoolFinding[] = left.map(({ dataset, waitingBytes }) => ({
    check,
    level: 'warn',
    message: `${dataset}: ${waitingBytes} acknowledged bytes wait in the spool ${dir} of a process that is gone`,
    todo: 'start the server; it writes them',
  }))
  for (const { dataset, isOwned, waitingBytes, oldest } of lanes) {
    if (!isOwned || oldest === null || nowMs - Date.parse(oldest) < lateMs) continue
    findings.push({
      check,
      level: 'warn',
      message: `${dataset}: ${waitingBytes} acknowledged bytes wait in the spool, the oldest since ${oldest}`,
      todo: 'see "tidemark alarms" for damage, and whether PostgreSQL takes rows of this table (locks, a missing migration)',
    })
  }
  if (status.bytes > maxBytes * 0.8)
    findings.push({
      check,
      level: 'warn',
      message: `the spool has ${status.bytes} of ${maxBytes} bytes; beyond them rows are refused`,
      todo: 'raise ingest.spool.max, or find out why they are not written as fast as they come',
    })
  if (findings.length > 0) return findings
  return [{ check, level: 'ok', message: `${waitingBytes} bytes of the spool are being written`, todo: null }]
}
