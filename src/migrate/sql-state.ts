/** The SQLSTATE of what a statement was refused with, also when src/postgres has put its own error around it. */
export function sqlState(error: unknown): string | null {
  for (let e: unknown = error, depth = 0; e instanceof Error && depth < 5; e = e.cause, depth++) {
    const code = (e as { code?: unknown }).code
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code
    const state = (e as { params?: { sqlstate?: unknown } }).params?.sqlstate
    if (typeof state === 'string') return state
  }
  return null
}
