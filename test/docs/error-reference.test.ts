import { expect, it } from 'vitest'
import { notOverHttp, problemType } from '../../src/api/contract/problem-codes.ts'
import { type ErrorCode, type ErrorDefinition, errorRegistry } from '../../src/util/errors.ts'

/** `npx vitest run --project unit test/docs -u` writes the page anew. */
it('docs/reference/errors.md lists every error as the registry has it', async () => {
  const entries = Object.entries(errorRegistry as unknown as Record<string, ErrorDefinition<unknown>>)
  const page = [
    '# Errors',
    '',
    'Every error that Tidemark raises on purpose. Tell them apart by `code`. Over HTTP they are',
    '[RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem details with the status below; anything else is a',
    `\`TM_INTERNAL\` whose id is in the log. \`type\` of a problem is its code as a URN, \`${problemType('TM_QUERY')}\`: this page`,
    'explains it, and `GET /api/v1/problems` lists those of HTTP. The command line exits with 2 for the statuses 400 to 499, else with 1.',
    '',
    ...entries
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([code, { status, retryable, when, todo }]) => [
        `## ${code}`,
        '',
        `${whereOf(code as ErrorCode, status)}${retryable ? ', the same call may succeed later' : ''}. ${when}`,
        '',
        `What to do: ${todo}`,
        '',
      ]),
  ].join('\n')
  await expect(page).toMatchFileSnapshot('../../docs/reference/errors.md')
})

function whereOf(code: ErrorCode, status: number): string {
  const elsewhere = (notOverHttp as Partial<Record<ErrorCode, string>>)[code]
  return elsewhere === undefined ? `HTTP ${status}` : `Never over HTTP (${elsewhere}); status ${status}`
}
