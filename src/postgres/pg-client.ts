import pg from 'pg'
import { TidemarkError } from '../util/errors.ts'
import type { WireConnection } from './statement.ts'

export interface ConnectionSettings {
  readonly connectionString: string
  readonly applicationName: string
  readonly connectTimeoutMs: number
  readonly cancelTimeoutMs: number
}

/** pg's Client and Connection as they are used here; their types leave these members out. */
export type PgClient = pg.Client & {
  readonly connection: WireConnection & { readonly ssl: unknown }
  readonly processID: number
  readonly secretKey: number
}
type PgRawConnection = WireConnection & {
  connect(port: number, host: string): void
  requestSsl(): void
  cancel(processId: number, secretKey: number): void
}

export function makeClient(settings: ConnectionSettings): PgClient {
  try {
    return new pg.Client({
      connectionString: settings.connectionString,
      application_name: settings.applicationName,
      connectionTimeoutMillis: settings.connectTimeoutMs,
      keepAlive: true,
    }) as PgClient
  } catch {
    // The original error may hold the URL with its password.
    throw new TidemarkError('TM_CONFIG', {
      path: 'connectionString',
      problem: 'is not a PostgreSQL URL; it has the form postgres://user:password@host:5432/database',
    })
  }
}

export function describeTarget(client: PgClient): string {
  return `${client.user ?? ''}@${client.host}:${client.port}/${client.database ?? ''}`
}

/** Resolves when the server has closed the connection of the request, which it does after signalling the backend. */
export function sendCancel(client: PgClient, settings: ConnectionSettings): Promise<void> {
  return new Promise((resolve, reject) => {
    const RawConnection = pg.Connection as unknown as new (config: object) => PgRawConnection
    const request = new RawConnection({ ssl: client.connection.ssl })
    const limit = setTimeout(
      () => request.stream.destroy(new Error('cancel timed out')),
      settings.cancelTimeoutMs,
    )
    let problem: Error | null = null
    request.on('error', (error: Error & { code?: string }) => {
      // The server may reset instead of closing once it has done its work.
      if (error.code !== 'ECONNRESET') problem = error
    })
    request.on('end', () => {
      clearTimeout(limit)
      if (problem) reject(problem)
      else resolve()
    })
    const send = () => request.cancel(client.processID, client.secretKey)
    request.on('connect', () => {
      if (client.connection.ssl) request.requestSsl()
      else send()
    })
    request.on('sslconnect', send)
    if (client.host.startsWith('/')) {
      const path = `${client.host}/.s.PGSQL.${client.port}`
      ;(request.connect as unknown as (path: string) => void).call(request, path)
    } else request.connect(client.port, client.host)
  })
}
