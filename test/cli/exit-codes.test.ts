import { afterEach, expect, it, vi } from 'vitest'
import { Interrupted, reportError } from '../../src/cli/output.ts'
import { TidemarkError } from '../../src/util/errors.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

it.each([
  ['a mistake of the caller', new TidemarkError('TM_CONFIG', { path: 'x', problem: 'is wrong' }), 2],
  ['a failure', new TidemarkError('TM_CONNECT', { target: 'x', problem: 'down' }), 1],
  ['Ctrl-C', new Interrupted('SIGINT', new TidemarkError('TM_CANCELLED', { what: 'the query' })), 130],
  ['SIGTERM', new Interrupted('SIGTERM', new TidemarkError('TM_CANCELLED', { what: 'the query' })), 143],
])('%s has an exit code of its own', (_name, error, exitCode) => {
  const written: string[] = []
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0)
  expect(reportError(error, true)).toBe(exitCode)
  const known = error instanceof Interrupted ? error.cause : error
  expect(JSON.parse(written.join(''))).toMatchObject({ error: { code: (known as TidemarkError).code } })
})
