import type { Question } from '../../chart/question.ts'

/** What is asked, to be taken elsewhere. Pure. */

const isName = /^[A-Za-z_$][\w$]*$/

function literal(value: unknown, indent: string): string {
  if (Array.isArray(value)) {
    const items = value.map((one) => literal(one, `${indent}  `))
    const line = `[${items.join(', ')}]`
    return line.length + indent.length <= 90
      ? line
      : `[\n${items.map((item) => `${indent}  ${item},\n`).join('')}${indent}]`
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(
      ([key, one]) => `${isName.test(key) ? key : quoted(key)}: ${literal(one, `${indent}  `)}`,
    )
    if (entries.length === 0) return '{}'
    const line = `{ ${entries.join(', ')} }`
    return line.length + indent.length <= 90 && !line.includes('\n')
      ? line
      : `{\n${entries.map((entry) => `${indent}  ${entry},\n`).join('')}${indent}}`
  }
  return typeof value === 'string' ? quoted(value) : JSON.stringify(value)
}

function quoted(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`
}

/** The call of the client, ready to run. */
export function toTypeScript({ dataset, query }: Question, url: string): string {
  return `import { createClient } from 'tidemark/client'

const client = createClient({ url: ${quoted(url)}, apiKey: process.env.TIDEMARK_KEY })

const { rows, plan } = await client.query(${quoted(dataset)}, ${literal(query, '')})
console.table(rows)
console.log(plan.parts)
await client.close()
`
}

/** For a shell; the key is taken from its environment, never written here. */
export function toCurl({ dataset, query }: Question, url: string): string {
  const body = JSON.stringify({ dataset, ...query }).replaceAll("'", "'\\''")
  return `curl -s ${url}/api/v1/query \\
  -H 'content-type: application/json' \\
  -H "authorization: Bearer $TIDEMARK_KEY" \\
  -d '${body}'
`
}
