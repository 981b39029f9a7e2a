import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { expect, it } from 'vitest'

it('the client bundles for browsers: nothing of Node, of the server or of another package is on its way', async () => {
  const { metafile, outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../../src/client/index.ts', import.meta.url))],
    absWorkingDir: fileURLToPath(new URL('../..', import.meta.url)),
    bundle: true,
    // fails on an import of a Node built-in
    platform: 'browser',
    format: 'esm',
    minify: true,
    write: false,
    metafile: true,
  })
  expect(Object.keys(metafile.inputs).filter((input) => !input.startsWith('src/client/'))).toEqual([])
  expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([])
  const [file] = outputFiles
  expect(file?.text).not.toMatch(/\bprocess\b|\bBuffer\.from\b|\brequire\(/)
  expect(gzipSync(file?.contents ?? '').length).toBeLessThan(6_000)
})
