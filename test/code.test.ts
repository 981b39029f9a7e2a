import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

function run(script: string): Promise<{ failed: boolean; output: string }> {
  return new Promise((resolve) => {
    const program = fileURLToPath(new URL(`../node_modules/.bin/${script.split(' ')[0]}`, import.meta.url))
    execFile(
      program,
      script.split(' ').slice(1),
      { cwd: root, maxBuffer: 2 ** 26 },
      (error, stdout, stderr) => resolve({ failed: error !== null, output: `${stdout}${stderr}` }),
    )
  })
}

it('the code is formatted and has no lint errors (npm run lint)', { timeout: 120_000 }, async () => {
  expect(await run('biome check --diagnostic-level=error .')).toMatchObject({ failed: false })
})

it('the types hold (npm run typecheck)', { timeout: 300_000 }, async () => {
  expect(await run('tsc -p tsconfig.json --noEmit')).toEqual({ failed: false, output: '' })
  expect(await run('tsc -p dashboard --noEmit')).toEqual({ failed: false, output: '' })
})
