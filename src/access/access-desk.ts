import type { Database } from '../postgres/index.ts'
import type { AuthConfig } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import { ApiKeys } from './api-keys.ts'
import { AuditLog } from './audit-log.ts'
import { Authenticator, type AuthenticatorOptions } from './authenticator.ts'
import { Passes } from './passes.ts'

/** Who may use the server, and what was done by whom; `tm.access`. */
export class AccessDesk {
  readonly keys: ApiKeys
  readonly audit: AuditLog
  readonly #db: Database
  readonly #clock: Clock

  constructor(db: Database, clock: Clock) {
    this.#db = db
    this.#clock = clock
    this.audit = new AuditLog(db, clock)
    this.keys = new ApiKeys(db, clock, this.audit)
  }

  /** Whoever makes it closes it. @throws TidemarkError TM_CONFIG for a public key that is none. */
  createAuthenticator(auth: AuthConfig, options: AuthenticatorOptions = {}): Authenticator {
    return new Authenticator(this.#db, this.#clock, auth, options)
  }

  /** Deletes what has been kept long enough: entries of the audit log, and sessions and tickets that have expired. */
  async trim(options: {
    readonly auditKeepMs: number
    readonly signal?: AbortSignal | null
  }): Promise<{ readonly entries: number; readonly passes: number }> {
    const olderThan = this.#clock.now() - BigInt(options.auditKeepMs) * 1000n
    return {
      entries: await this.audit.trim(olderThan, options.signal ?? null),
      passes: await new Passes(this.#db, this.#clock).trim(),
    }
  }
}
