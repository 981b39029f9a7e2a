import { TidemarkError } from '../../util/errors.ts'

/**
 * The JSON of a body. Keys that reach an object's prototype when a program copies it are refused with their place:
 * what is stored here is read by programs that do.
 *
 * @throws TidemarkError TM_BODY; `place` says where the text stands ("line 3"), where it is one of several.
 */
export function parseJsonBody(text: string, place: string | null = null): unknown {
  const where = place === null ? 'the body' : place
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new TidemarkError(
      'TM_BODY',
      {
        problem: `${where} is not JSON: ${(error as Error).message}`,
        todo: place === null ? 'send valid JSON' : 'send one JSON object a line',
      },
      { cause: error },
    )
  }
  const key = mayHoldForbidden.test(text) ? findForbidden(value) : null
  if (key !== null)
    throw new TidemarkError('TM_BODY', {
      problem:
        `${where} has the key ${key}, which is refused: a JavaScript program that copies such an object ` +
        'would change its prototype (prototype pollution)',
      todo: 'leave the key out, or give it another name',
    })
  return value
}

/** One value a line; blank lines are none. @throws TidemarkError TM_BODY */
export function parseNdjson(text: string): unknown[] {
  return text
    .split('\n')
    .flatMap((line, i) => (line.trim() === '' ? [] : [parseJsonBody(line, `line ${i + 1}`)]))
}

/** Rows as a JSON array, or one a line. @throws TidemarkError TM_BODY */
export function parseRows(text: string): readonly unknown[] {
  return text.trimStart().startsWith('[') ? (parseJsonBody(text) as unknown[]) : parseNdjson(text)
}

/** A key may be spelled with escapes. */
const mayHoldForbidden = /__proto__|constructor|\\u/

/** The path of the first forbidden key. On a list of its own instead of by recursion: JSON may be nested deeply. */
function findForbidden(body: unknown): string | null {
  const open: { readonly value: unknown; readonly path: string }[] = [{ value: body, path: '' }]
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const { value, path } = at
    if (typeof value !== 'object' || value === null) continue
    if (Array.isArray(value)) {
      for (let i = value.length - 1; i >= 0; i -= 1) open.push({ value: value[i], path: `${path}[${i}]` })
      continue
    }
    for (const [key, inner] of Object.entries(value).reverse()) {
      const place = path === '' ? key : `${path}.${key}`
      if (key === '__proto__') return JSON.stringify(place)
      if (
        key === 'constructor' &&
        typeof inner === 'object' &&
        inner !== null &&
        Object.hasOwn(inner, 'prototype')
      )
        return JSON.stringify(`${place}.prototype`)
      open.push({ value: inner, path: place })
    }
  }
  return null
}
