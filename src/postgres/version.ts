import { TidemarkError } from '../util/errors.ts'
import type { Database } from './contract.ts'

const supportedMajors = Object.freeze({ oldest: 15, newest: 18 })

/**
 * Refuses a server that Tidemark is not tested on, and answers with the major version.
 *
 * @example
 * const major = await assertSupportedVersion(db) // 15, 16, 17 or 18; else TM_POSTGRES_VERSION
 */
export async function assertSupportedVersion(db: Database): Promise<number> {
  const version = await db.serverVersion()
  const major = Math.floor(version / 10_000)
  if (major < supportedMajors.oldest || major > supportedMajors.newest)
    throw new TidemarkError('TM_POSTGRES_VERSION', { found: `${major}.${version % 10_000}` })
  return major
}
