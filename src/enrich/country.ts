import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import type { EnrichStep } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { makeStep, textOf, withValues } from './make-step.ts'

export interface CountryOptions {
  /** Key of the row that holds the IP address. */
  readonly from: string
  /** A text column for the country's two letters. */
  readonly into: string
  /** Path of a database of MaxMind's format (.mmdb) that you bring: GeoLite2-Country, DB-IP Lite, IPinfo. Relative to the configuration. */
  readonly database: string
  /** Whether the address stays in the row. Default false: it is taken away, also where there is a column for it. */
  readonly keep?: boolean
}

/**
 * The country of an IP address. The address itself is not stored, unless `keep` says so. Needs the package mmdb-lib.
 *
 * @example
 * country({ from: 'ip', into: 'country', database: 'GeoLite2-Country.mmdb' })
 */
export function country({ from, into, database, keep = false }: CountryOptions): EnrichStep {
  if (typeof database !== 'string' || database === '')
    throw new TidemarkError('TM_DECLARATION', {
      path: 'country().database',
      problem: 'must be the path of an .mmdb file',
    })
  return makeStep('country', from, { into }, 'text', async (dir) => {
    const find = await openDatabase(resolve(dir, database))
    return (row) => {
      const address = textOf(row, from)
      const found = withValues(row, [[into, address === null ? null : find(address)]])
      if (keep || !Object.hasOwn(found, from)) return found
      const { [from]: _, ...rest } = found
      return rest
    }
  })
}

async function openDatabase(path: string): Promise<(address: string) => string | null> {
  const refuse = (problem: string, cause: unknown): never => {
    throw new TidemarkError('TM_CONFIG', { path: 'country().database', problem }, { cause })
  }
  const library = await import('mmdb-lib').catch((error: unknown) =>
    refuse('the package mmdb-lib is not installed; npm install mmdb-lib', error),
  )
  const bytes = await readFile(path).catch((error: unknown) => refuse(`${path} cannot be read`, error))
  try {
    const reader = new library.Reader(bytes)
    return (address) => {
      // as sockets of both families give it
      const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
      return isIP(plain) === 0 ? null : countryOf(reader.get(plain))
    }
  } catch (error) {
    return refuse(`${path} is not a database of MaxMind's format`, error)
  }
}

/** In the forms of MaxMind and DB-IP (`country.iso_code`) and of IPinfo (`country_code`, or `country` as text). */
function countryOf(found: unknown): string | null {
  if (typeof found !== 'object' || found === null) return null
  const { country, country_code: code } = found as { country?: unknown; country_code?: unknown }
  const nested =
    typeof country === 'object' && country !== null ? (country as { iso_code?: unknown }).iso_code : null
  return [nested, code, country].find(isCode) ?? null
}

function isCode(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Z]{2}$/.test(value)
}
