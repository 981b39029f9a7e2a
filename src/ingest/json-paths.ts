import { ExactNumber } from './exact-json.ts'
import type { JsonField } from './ndjson-reader.ts'
import { type ImportPlan, usedFields } from './plan.ts'

const maxPathDepth = 3
const maxPaths = 500

/** Every path of a document, to a depth of three. */
export function collectPaths(
  value: unknown,
  path: readonly string[],
  seen: Map<string, { path: readonly string[]; isObject: boolean }>,
): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof ExactNumber)
    return
  for (const [key, child] of Object.entries(value)) {
    const childPath = [...path, key]
    const name = joinPath(childPath)
    const isObject =
      typeof child === 'object' && child !== null && !Array.isArray(child) && !(child instanceof ExactNumber)
    const known = seen.get(name)
    if (known) known.isObject &&= isObject
    else if (seen.size < maxPaths) seen.set(name, { path: childPath, isObject })
    if (isObject && childPath.length < maxPathDepth) collectPaths(child, childPath, seen)
  }
}

/** `a.b`; a key that holds a point is written with it doubled. */
function joinPath(path: readonly string[]): string {
  return path.map((key) => key.replaceAll('.', '..')).join('.')
}

export function splitPath(name: string): string[] {
  return name
    .replaceAll('..', '\u0000')
    .split('.')
    .map((key) => key.replaceAll('\u0000', '.'))
}

/** What the reader takes out of each line for a plan: nothing for fields that go nowhere. */
export function toJsonFields(plan: ImportPlan): JsonField[] {
  const unused = new Set(plan.unused)
  const used = new Set(usedFields(plan))
  return plan.fields.map(
    (name, i): JsonField =>
      unused.has(name) || !used.has(i)
        ? { kind: 'unused' }
        : name === '@document'
          ? { kind: 'document' }
          : name === '@prefix'
            ? { kind: 'prefix' }
            : { kind: 'path', path: splitPath(name) },
  )
}
