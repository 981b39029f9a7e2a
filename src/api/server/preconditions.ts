import type { FastifyRequest } from 'fastify'
import type { Precondition } from '../../records/index.ts'
import { TidemarkError } from '../../util/errors.ts'

/** A version as a strong entity tag (RFC 9110). */
export function entityTag(version: string): string {
  return `"${version}"`
}

/** What of a row a write demands, from If-Match and If-None-Match. @throws TidemarkError TM_QUERY */
export function readPrecondition({ headers, method }: FastifyRequest): Precondition {
  const match = headers['if-match']
  const noneMatch = headers['if-none-match']
  if (match !== undefined && noneMatch !== undefined)
    refuse('if-none-match', 'stands beside if-match; send one of them')
  if (noneMatch !== undefined) {
    if (method !== 'PUT' || noneMatch.trim() !== '*')
      refuse('if-none-match', 'a write takes it as "*" and with PUT alone: the row is to be new')
    return { kind: 'new' }
  }
  if (match === undefined) return { kind: 'none' }
  if (match.trim() === '*') return { kind: 'exists' }
  return { kind: 'versions', versions: readTags('if-match', match) }
}

/** Whether a reader has this version already. */
export function isKnown({ headers }: FastifyRequest, version: string): boolean {
  const given = headers['if-none-match']
  if (given === undefined) return false
  // weak or strong, it is the same row
  return given.trim() === '*' || readTags('if-none-match', given.replaceAll('W/"', '"')).includes(version)
}

/** Strong tags; a weak one is never equal to any (RFC 9110, 8.8.3.2). */
function readTags(path: string, header: string): readonly string[] {
  if (!/^\s*(W\/)?"[^"]*"\s*(,\s*(W\/)?"[^"]*"\s*)*$/.test(header))
    refuse(path, 'is no list of entity tags such as "Zm9v", and not "*"')
  return [...header.matchAll(/(W\/)?"([^"]*)"/g)].flatMap(([, weak, tag]) => (weak ? [] : [tag as string]))
}

function refuse(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}
