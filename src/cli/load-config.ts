import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createJiti } from 'jiti'
import type { TidemarkConfig } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'

const names = ['tidemark.config.ts', 'tidemark.config.mts', 'tidemark.config.js', 'tidemark.config.mjs']

export interface LoadedConfig {
  readonly config: TidemarkConfig
  readonly path: string
  /** The configuration's folder: `.tidemark/` with data lies beside it. */
  readonly root: string
}

/** Finds and loads the configuration; TypeScript needs no build step. */
export async function loadConfig(explicit: string | undefined, cwd: string): Promise<LoadedConfig> {
  const path = explicit === undefined ? find(cwd) : resolve(cwd, explicit)
  if (path === null) {
    throw new TidemarkError('TM_CONFIG', {
      path: 'tidemark.config.ts',
      problem: 'not found in this folder or above; "tidemark init" writes one, --config names another',
    })
  }
  if (!existsSync(path)) {
    throw new TidemarkError('TM_CONFIG', { path: explicit ?? path, problem: 'there is no such file' })
  }
  const jiti = createJiti(import.meta.url, {
    // the configuration declares with this very copy, whether or not the project has installed one
    alias: { 'tidemark/schema': ownModule('../schema/index'), tidemark: ownModule('../index') },
    interopDefault: false,
  })
  let loaded: Record<string, unknown>
  try {
    loaded = (await jiti.import(path)) as Record<string, unknown>
  } catch (error) {
    if (isTidemarkError(error)) throw error
    throw new TidemarkError(
      'TM_CONFIG',
      { path: explicit ?? path, problem: `cannot be loaded: ${(error as Error).message}` },
      { cause: error },
    )
  }
  const config = loaded['default']
  if (typeof config !== 'object' || config === null || !('datasets' in config)) {
    throw new TidemarkError('TM_CONFIG', {
      path: explicit ?? path,
      problem: 'has no default export made by defineConfig({ datasets: [...] })',
    })
  }
  return { config: config as TidemarkConfig, path, root: dirname(path) }
}

function find(from: string): string | null {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    for (const name of names) if (existsSync(resolve(folder, name))) return resolve(folder, name)
    if (dirname(folder) === folder) return null
  }
}

function ownModule(path: string): string {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  return fileURLToPath(new URL(path + extension, import.meta.url))
}
