import type { ReactNode } from 'react'
import { isTidemarkClientError } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { type PanelAnswer, toCsv } from '../../chart/index.ts'
import { useToast } from '../../shell/index.ts'
import { Menu } from '../../ui/index.ts'
import { toCurl, toTypeScript } from './code.ts'

/** What is shown, to be taken elsewhere. */
export function TakeAway({ result }: { readonly result: PanelAnswer }): ReactNode {
  const client = useClient()
  const toast = useToast()
  const { question, table } = result
  const copy = async (what: string, text: () => string | Promise<string>): Promise<void> => {
    try {
      await navigator.clipboard.writeText(await text())
      toast({ kind: 'ok', text: `${what} copied` })
    } catch (error) {
      const why = isTidemarkClientError(error) ? error.message : 'the browser does not allow it'
      toast({ kind: 'error', text: `${what} could not be copied: ${why}` })
    }
  }
  const isNothing = question === null
  return (
    <Menu
      label="Copy"
      items={[
        {
          label: 'As TypeScript',
          disabled: isNothing,
          run: () =>
            void copy('TypeScript', () => (question === null ? '' : toTypeScript(question, location.origin))),
        },
        {
          label: 'As curl',
          disabled: isNothing,
          run: () =>
            void copy('The curl command', () => (question === null ? '' : toCurl(question, location.origin))),
        },
        {
          label: 'As SQL',
          note: 'for tidemark sql',
          disabled: isNothing,
          run: () =>
            void copy('SQL', () =>
              question === null ? '' : client.sqlOf(question.dataset, question.query as never),
            ),
        },
        { label: 'Link to this', run: () => void copy('The link', () => location.href) },
        {
          label: 'Download CSV',
          note: table === undefined ? '' : `${table.rows.length} rows`,
          disabled: table === undefined,
          run: () => {
            if (table === undefined || question === null) return
            save(toCsv(table), `${question.dataset}.csv`)
            toast({ kind: 'ok', text: `${table.rows.length} rows saved as ${question.dataset}.csv` })
          },
        },
      ]}
    />
  )
}

function save(text: string, name: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
