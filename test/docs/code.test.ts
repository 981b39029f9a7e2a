import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Every ```ts block of README and docs/ is compiled. A block whose first line is `// name.ts` is a file of that name,
 * which the other blocks of its page may import; the rest of a page's blocks are one module, top to bottom.
 */
const pages = ['README.md', ...markdownBelow('docs')]
const virtual = new Map<string, string>()
const pageOf = new Map<string, string>()
for (const [i, page] of pages.entries()) {
  const folder = join(root, 'test', `docs-code-${i}`)
  const body: string[] = []
  for (const code of blocksOf(readFileSync(join(root, page), 'utf8'))) {
    const name = /^\/\/ ([\w.-]+\.ts)\n/.exec(code)?.[1]
    if (name) add(join(folder, name), code, page)
    else body.push(code)
  }
  if (body.length > 0) add(join(folder, 'page.ts'), `${body.join('\n')}\nexport {}\n`, page)
}

function add(file: string, code: string, page: string): void {
  virtual.set(file, code)
  pageOf.set(file, page)
}

describe('code in the documentation', () => {
  const problems = compile()
  it.each([...new Set(pageOf.values())])('compiles in %s', (page) => {
    expect(problems.get(page) ?? []).toEqual([])
  })
})

function compile(): Map<string, string[]> {
  const config = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config,
    ts.sys,
    root,
  )
  const options = { ...config.options, noUnusedLocals: false, noUnusedParameters: false }
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile, getSourceFile, directoryExists } = host
  host.fileExists = (name) => virtual.has(name) || fileExists(name)
  host.readFile = (name) => virtual.get(name) ?? readFile(name)
  host.directoryExists = (name) =>
    [...virtual.keys()].some((file) => dirname(file) === resolve(name)) || (directoryExists?.(name) ?? true)
  host.getSourceFile = (name, languageVersion, ...rest) => {
    const text = virtual.get(name)
    return text === undefined
      ? getSourceFile(name, languageVersion, ...rest)
      : ts.createSourceFile(name, text, languageVersion)
  }
  const program = ts.createProgram([...virtual.keys()], options, host)
  const problems = new Map<string, string[]>()
  for (const file of virtual.keys()) {
    const source = program.getSourceFile(file)
    if (!source) continue
    for (const { start, messageText } of [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ]) {
      const page = pageOf.get(file) as string
      const line = source.text.slice(0, start).split('\n').length
      const text = `${source.text.split('\n')[line - 1]?.trim()}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
      problems.set(page, [...(problems.get(page) ?? []), text])
    }
  }
  return problems
}

function blocksOf(markdown: string): string[] {
  return [...markdown.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string)
}

function markdownBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))
    .sort()
}
