import type { ShreddedPath } from './contract.ts'

/**
 * jsonb as PostgreSQL prints it, taken apart into columns and put together again to the same text.
 *
 * Scalars at paths that repeat go into columns of their own; what is left is the rest. An object of which nothing is left
 * is dropped from the rest, an object that was empty stays, so nothing has to be noted besides. Keys of an object are
 * sorted by length in bytes and then by bytes, which says where a value belongs when it comes back.
 */

/** A path has to be there, with its type, in this share of the documents, and in two. */
const leastShare = 0.05
const maxPaths = 64
const maxDepth = 6
/** Keys that are data (a map by user, say) would grow the survey without end. */
const maxSurveyed = 5000
const maxKeyLength = 100

const quote = 34
const comma = 44
const openBracket = 91
const closeBracket = 93
const backslash = 92
const openBrace = 123
const closeBrace = 125

/** Behind the closing quote of the string that begins at `at`. */
export function endOfString(text: string, at: number): number {
  let i = at + 1
  for (;;) {
    const code = text.charCodeAt(i)
    if (code === quote) return i + 1
    i += code === backslash ? 2 : 1
  }
}

/** Behind the value that begins at `at`. */
export function endOfValue(text: string, at: number): number {
  const first = text.charCodeAt(at)
  if (first === quote) return endOfString(text, at)
  let i = at
  if (first === openBrace || first === openBracket) {
    let depth = 0
    do {
      const code = text.charCodeAt(i)
      if (code === quote) {
        i = endOfString(text, i)
        continue
      }
      if (code === openBrace || code === openBracket) depth += 1
      else if (code === closeBrace || code === closeBracket) depth -= 1
      i += 1
    } while (depth > 0)
    return i
  }
  for (; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (code === comma || code === closeBrace || code === closeBracket) break
  }
  return i
}

/** The type of a scalar as a column has it; null for null, objects, arrays and numbers that a double does not print alike. */
function scalarType(text: string, from: number, to: number): ShreddedPath['type'] | null {
  const first = text.charCodeAt(from)
  if (first === quote) return 'text'
  if (first === 116 || first === 102) return 'bool'
  if (first === 45 || (first >= 48 && first <= 57)) {
    const token = text.slice(from, to)
    return String(Number(token)) === token ? 'float8' : null
  }
  return null
}

function unquote(token: string): string {
  return token.includes('\\') ? (JSON.parse(token) as string) : token.slice(1, -1)
}

// a survey

class SurveyNode {
  readonly children = new Map<string, SurveyNode>()
  text = 0
  float8 = 0
  bool = 0
}

export class JsonSurvey {
  readonly #root = new SurveyNode()
  #nodes = 0
  #documents = 0

  /** A document as PostgreSQL prints it. */
  add(text: string): void {
    this.#documents += 1
    if (text.charCodeAt(0) === openBrace) this.#object(this.#root, text, 0, 1)
  }

  #object(node: SurveyNode, text: string, start: number, depth: number): void {
    let at = start + 1
    while (text.charCodeAt(at) !== closeBrace) {
      if (text.charCodeAt(at) === comma) at += 2
      const keyEnd = endOfString(text, at)
      const key = text.slice(at, keyEnd)
      const from = keyEnd + 2
      const to = endOfValue(text, from)
      at = to
      let child = node.children.get(key)
      if (child === undefined) {
        if (this.#nodes >= maxSurveyed || key.length > maxKeyLength) continue
        this.#nodes += 1
        child = new SurveyNode()
        node.children.set(key, child)
      }
      if (text.charCodeAt(from) === openBrace) {
        if (depth < maxDepth) this.#object(child, text, from, depth + 1)
        continue
      }
      const type = scalarType(text, from, to)
      if (type !== null) child[type] += 1
    }
  }

  /** Paths that are worth a column, with names in the file that no column in `taken` (lower case) has; adds theirs. */
  choose(column: string, taken: Set<string>): ShreddedPath[] {
    const least = Math.max(2, this.#documents * leastShare)
    const found: { path: string[]; type: ShreddedPath['type']; count: number }[] = []
    const visit = (node: SurveyNode, path: readonly string[]): void => {
      for (const [key, child] of node.children) {
        const here = [...path, unquote(key)]
        const count = Math.max(child.text, child.float8, child.bool)
        const type = child.text === count ? 'text' : child.float8 === count ? 'float8' : 'bool'
        if (count >= least) found.push({ path: here, type, count })
        visit(child, here)
      }
    }
    visit(this.#root, [])
    return found
      .sort((a, b) => b.count - a.count)
      .slice(0, maxPaths)
      .map(({ path, type }) => {
        const base = `${column}.${path.join('.')}`
        let name = base
        for (let n = 2; taken.has(name.toLowerCase()); n += 1) name = `${base}~${n}`
        taken.add(name.toLowerCase())
        return { path, column: name, type }
      })
  }
}

// the paths as a tree, for both ways

class PathNode {
  /** The place of its column; -1: none. */
  leaf = -1
  type: ShreddedPath['type'] = 'text'
  readonly byKey = new Map<string, PathNode>()
  /** In the order of keys that jsonb has. */
  children: { readonly key: string; readonly prefix: string; readonly node: PathNode }[] = []
}

function treeOf(paths: readonly ShreddedPath[]): PathNode {
  const root = new PathNode()
  paths.forEach(({ path, type }, i) => {
    let node = root
    for (const part of path) {
      const key = JSON.stringify(part)
      let child = node.byKey.get(key)
      if (child === undefined) {
        child = new PathNode()
        node.byKey.set(key, child)
      }
      node = child
    }
    node.leaf = i
    node.type = type
  })
  const sort = (node: PathNode): void => {
    node.children = [...node.byKey]
      .map(([key, child]) => ({ key, prefix: `${key}: `, node: child }))
      .sort((a, b) => compareKeys(a.key, b.key))
    for (const child of node.children) sort(child.node)
  }
  sort(root)
  return root
}

const isAscii = /^[ -~]*$/

/** Quoted keys in the order that jsonb keeps: shorter first, in bytes of UTF-8, then by bytes. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0
  if (isAscii.test(a) && isAscii.test(b) && !a.includes('\\') && !b.includes('\\'))
    return a.length - b.length || (a < b ? -1 : 1)
  const x = Buffer.from(unquote(a))
  const y = Buffer.from(unquote(b))
  return x.length - y.length || Buffer.compare(x, y)
}

export type ShreddedValue = string | number | boolean | null

/** Takes documents apart. `values[i]` is that of the i-th path after each call. */
export class JsonShredder {
  readonly values: ShreddedValue[]
  readonly #root: PathNode
  #end = 0

  constructor(paths: readonly ShreddedPath[]) {
    this.values = paths.map(() => null)
    this.#root = treeOf(paths)
  }

  /** The rest of the document. */
  shred(text: string): string {
    this.values.fill(null)
    if (text.charCodeAt(0) !== openBrace || this.#root.children.length === 0) return text
    return this.#object(this.#root, text, 0) ?? '{}'
  }

  /** What is left of the object; null when it had members and none is left. Leaves its end in `#end`. */
  #object(node: PathNode, text: string, start: number): string | null {
    let at = start + 1
    let rest = ''
    let members = 0
    while (text.charCodeAt(at) !== closeBrace) {
      if (text.charCodeAt(at) === comma) at += 2
      members += 1
      const keyAt = at
      const keyEnd = endOfString(text, at)
      const from = keyEnd + 2
      const child = node.byKey.get(text.slice(keyAt, keyEnd))
      if (child === undefined) {
        at = endOfValue(text, from)
        rest += (rest === '' ? '' : ', ') + text.slice(keyAt, at)
        continue
      }
      if (text.charCodeAt(from) === openBrace && child.children.length > 0) {
        const left = this.#object(child, text, from)
        at = this.#end
        if (left !== null) rest += (rest === '' ? '' : ', ') + text.slice(keyAt, from) + left
        continue
      }
      at = endOfValue(text, from)
      if (child.leaf >= 0 && this.#take(child, text, from, at)) continue
      rest += (rest === '' ? '' : ', ') + text.slice(keyAt, at)
    }
    this.#end = at + 1
    return rest === '' && members > 0 ? null : `{${rest}}`
  }

  #take(node: PathNode, text: string, from: number, to: number): boolean {
    if (scalarType(text, from, to) !== node.type) return false
    const token = text.slice(from, to)
    if (node.type === 'text') {
      const value = unquote(token)
      if (JSON.stringify(value) !== token) return false
      this.values[node.leaf] = value
    } else this.values[node.leaf] = node.type === 'bool' ? token === 'true' : Number(token)
    return true
  }
}

/** Puts documents together again. */
export class JsonAssembler {
  readonly #root: PathNode

  constructor(paths: readonly ShreddedPath[]) {
    this.#root = treeOf(paths)
  }

  /** The document's text; `valueAt(i)` gives the value of the i-th path. */
  assemble(rest: string, valueAt: (path: number) => ShreddedValue): string {
    if (this.#root.children.length === 0 || rest.charCodeAt(0) !== openBrace) return rest
    return this.#object(this.#root, rest, valueAt) ?? '{}'
  }

  /** Null: nothing of it is there. */
  #object(node: PathNode, rest: string | null, valueAt: (path: number) => ShreddedValue): string | null {
    let out = ''
    let at = 1
    const hasRest = rest !== null
    // the member of the rest that comes next
    let key = ''
    let keyAt = 0
    let from = 0
    const next = (): void => {
      key = ''
      if (rest === null || rest.charCodeAt(at) === closeBrace) return
      if (rest.charCodeAt(at) === comma) at += 2
      keyAt = at
      const keyEnd = endOfString(rest, at)
      key = rest.slice(keyAt, keyEnd)
      from = keyEnd + 2
      at = endOfValue(rest, from)
    }
    next()
    for (const child of node.children) {
      while (key !== '' && compareKeys(key, child.key) < 0) {
        out += (out === '' ? '' : ', ') + rest!.slice(keyAt, at)
        next()
      }
      const leaf = child.node.leaf >= 0 ? valueAt(child.node.leaf) : null
      if (leaf !== null) {
        out += (out === '' ? '' : ', ') + child.prefix + JSON.stringify(leaf)
        continue
      }
      let inner: string | null = null
      if (key === child.key) {
        const isObject = rest!.charCodeAt(from) === openBrace
        inner = isObject ? this.#object(child.node, rest!.slice(from, at), valueAt) : rest!.slice(from, at)
        next()
      } else if (child.node.children.length > 0) inner = this.#object(child.node, null, valueAt)
      if (inner !== null) out += (out === '' ? '' : ', ') + child.prefix + inner
    }
    while (key !== '') {
      out += (out === '' ? '' : ', ') + rest!.slice(keyAt, at)
      next()
    }
    return out === '' && !hasRest ? null : `{${out}}`
  }
}
