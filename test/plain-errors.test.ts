import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { isTidemarkError, type TidemarkError } from '../src/util/errors.ts'
import { unreachable } from '../src/util/unreachable.ts'

const src = fileURLToPath(new URL('../src/', import.meta.url))

it('everything that is thrown on purpose has a code: no plain Error', () => {
  const form =
    /(?:\bthrow (?:new )?|\breject\(\s*(?:new )?)(?:Error|TypeError|RangeError|SyntaxError|AggregateError)\(/g
  const found = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      [...readFileSync(`${src}${file}`, 'utf8').matchAll(form)].map((match) => `${file}: ${match[0]}`),
    )
  expect(found, 'use the registry of util/errors.ts, or unreachable() of util/unreachable.ts').toEqual([])
})

it('a place that cannot be reached says in its cause what was found, and only there', () => {
  let error: unknown
  try {
    unreachable('row 7 was read in two ways')
  } catch (caught) {
    error = caught
  }
  expect(isTidemarkError(error) && error.code).toBe('TM_INTERNAL')
  expect((error as TidemarkError).message).not.toContain('row 7')
  expect(((error as Error).cause as Error).message).toBe('row 7 was read in two ways')
})
