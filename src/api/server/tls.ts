import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { resolve } from 'node:path'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import type { ServerConfig } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** How often is looked whether the files have changed. */
const defaultPollMs = 5000

/** Null: plain HTTP. Paths are relative to the configuration. */
export function tlsFilesOf(tls: ServerConfig['tls'], root: string): TlsFiles | null {
  return tls && { certFile: resolve(root, tls.certFile), keyFile: resolve(root, tls.keyFile) }
}

/**
 * What is needed to listen: TLS 1.3 alone.
 *
 * @throws TidemarkError TM_CONFIG for a file that cannot be read, is no PEM, or a key that is not the certificate's.
 */
export function readTls({ certFile, keyFile }: TlsFiles): SecureContextOptions & { minVersion: 'TLSv1.3' } {
  const read = (key: string, file: string): Buffer => {
    try {
      return readFileSync(file)
    } catch (error) {
      throw refused(key, `${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`, error)
    }
  }
  const options = {
    cert: read('certFile', certFile),
    key: read('keyFile', keyFile),
    minVersion: 'TLSv1.3',
  } as const
  try {
    createSecureContext(options)
  } catch (error) {
    throw refused('certFile', `${certFile} and ${keyFile} are no certificate with its key`, error)
  }
  return options
}

/** Reads the files again when they have changed: connections that are open keep what they have. What is no pair yet is left alone. */
export function watchTls(app: FastifyInstance, files: TlsFiles, pollMs: number = defaultPollMs): void {
  const server = app.server as unknown as { setSecureContext(options: SecureContextOptions): void }
  const reload = (): void => {
    try {
      server.setSecureContext(readTls(files))
      app.log.info({ certFile: files.certFile }, 'the certificate was read again')
    } catch (error) {
      // one of the two was written, and the other is about to be
      app.log.warn({ err: error }, 'the certificate has changed and cannot be used; the one before goes on')
    }
  }
  const names = [files.certFile, files.keyFile]
  for (const name of names) watchFile(name, { interval: pollMs, persistent: false }, reload)
  app.addHook('onClose', async () => {
    for (const name of names) unwatchFile(name, reload)
  })
}

function refused(key: string, problem: string, cause: unknown): TidemarkError {
  return new TidemarkError('TM_CONFIG', { path: `server.tls.${key}`, problem }, { cause })
}
