import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../../', import.meta.url))
/** Below node_modules: packages are found from there, git and biome do not look. */
const cache = join(root, 'node_modules/.cache/tidemark-tests')
const day = 86_400_000

let made: Promise<string> | null = null

/**
 * The path of a file of src/, or of a `*-child.ts` of the tests, as JavaScript of the present sources. Node starts the
 * command line from that in 0.35 s of processor time; through jiti it takes over a second, and seven when jiti's own
 * cache is empty. Compiled once for each state of the sources (4 s), for all processes that ask.
 *
 * @example
 * spawn(process.execPath, [await compiled('src/cli/main.ts'), 'status'])
 */
export async function compiled(file: string): Promise<string> {
  made ??= compileAll()
  return join(await made, file.replace(/\.ts$/, '.js'))
}

async function compileAll(): Promise<string> {
  const folder = join(cache, await hashOfSources())
  if (existsSync(folder)) return folder
  await removeOld()
  const draft = join(cache, randomUUID())
  await mkdir(draft, { recursive: true })
  const project = join(draft, 'tsconfig.json')
  await writeFile(
    project,
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      // types are checked by test/code.test.ts
      compilerOptions: { noEmit: false, noCheck: true, declaration: false, rootDir: root, outDir: draft },
      include: [join(root, 'src'), join(root, 'test/**/*-child.ts')],
    }),
  )
  await promisify(execFile)(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project])
  for (const beside of ['package.json', 'sql'])
    await cp(join(root, beside), join(draft, beside), { recursive: true })
  try {
    await rename(draft, folder)
  } catch (error) {
    // another process was quicker, with the same sources
    if (!existsSync(folder)) throw error
    await rm(draft, { recursive: true })
  }
  return folder
}

async function hashOfSources(): Promise<string> {
  const hash = createHash('sha256')
  const under = async (folder: string, isMeant: (name: string) => boolean): Promise<string[]> =>
    (await readdir(join(root, folder), { recursive: true }))
      .filter(isMeant)
      .map((name) => join(folder, name))
      .sort()
  const files = [
    'package.json',
    'tsconfig.json',
    ...(await under('src', (name) => name.endsWith('.ts'))),
    ...(await under('sql', (name) => name.endsWith('.sql'))),
    ...(await under('test', (name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))),
  ]
  for (const file of files) hash.update(`${file}\0`).update(await readFile(join(root, file)))
  return hash.digest('hex').slice(0, 16)
}

/** What nobody can be using any more. */
async function removeOld(): Promise<void> {
  if (!existsSync(cache)) return
  for (const name of await readdir(cache)) {
    const path = join(cache, name)
    const { mtimeMs } = await stat(path)
    if (Date.now() - mtimeMs > day) await rm(path, { recursive: true, force: true })
  }
}
