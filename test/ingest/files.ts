import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterFile } from '../helpers/after-file.ts'

/** A folder of the test file's own, gone after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-import-'))
  afterFile(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export function writeFile(name: string, content: string | Buffer, options: { gzip?: boolean } = {}): string {
  const path = join(temporaryFolder(), name)
  writeFileSync(path, options.gzip ? gzipSync(content) : content)
  return path
}
