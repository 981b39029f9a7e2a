import { isIP } from 'node:net'
import type { ProblemList } from './problems.ts'

/** Addresses of this machine alone. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  return bare === 'localhost' || bare === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(bare)
}

/**
 * The name in a `Host` header, without port, brackets and the root's dot; null: it is none.
 *
 * @example
 * nameOfHost('LOCALHOST.:4680') // 'localhost'
 * nameOfHost('[::1]:4680') // '::1'
 */
export function nameOfHost(host: string): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:/@?#\s]+?)\.?)(?::\d{1,5})?$/i.exec(host)
  return (match?.[1] ?? match?.[2])?.toLowerCase() ?? null
}

/** `server.hosts`: as `nameOfHost` gives them. */
export function readHosts(problems: ProblemList, value: unknown): readonly string[] {
  if (value === undefined) return Object.freeze([])
  const path = '.server.hosts'
  if (!Array.isArray(value) || value.length === 0) {
    problems.add(path, "must be a list of names such as ['tidemark.example.org']")
    return Object.freeze([])
  }
  const names = value.map((host: unknown, i) => {
    const bare = typeof host === 'string' ? host.replace(/^\[(.*)\]$/, '$1').toLowerCase() : ''
    if (!/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/.test(bare) && isIP(bare) !== 6)
      problems.add(`${path}[${i}]`, 'must be a name or an address, without scheme and port')
    return bare
  })
  return Object.freeze(names)
}
