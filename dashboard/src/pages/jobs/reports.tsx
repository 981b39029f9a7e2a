import { useMutation, useQueryClient } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import type { ReportEntry } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { formatMs, formatNumber } from '../../format/index.ts'
import { useToast } from '../../shell/index.ts'
import { Badge, Button, type Column, Empty, Table, Time } from '../../ui/index.ts'
import styles from './jobs.module.css'

/** Saved queries that are asked by themselves. */
export function Reports({ reports }: { readonly reports: readonly ReportEntry[] }): ReactNode {
  const client = useClient()
  const queries = useQueryClient()
  const toast = useToast()
  const run = useMutation({
    mutationFn: (name: string) => client.access.runReport(name),
    onSuccess: ({ rows, elapsedMs }, name) =>
      toast({
        kind: 'ok',
        text: `${name}: ${formatNumber(rows)} ${rows === 1 ? 'row' : 'rows'} in ${formatMs(elapsedMs)}.`,
      }),
    onError: (error, name) => toast({ kind: 'error', text: `${name}: ${error.message}` }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['reports'] }),
  })
  const columns: Column<ReportEntry>[] = [
    {
      id: 'name',
      title: 'Report',
      sortBy: ({ name }) => name,
      cell: ({ name, title, dataset }) => (
        <span className={styles['job']}>
          <a href={`/api/v1/reports/${encodeURIComponent(name)}/answer?format=html`}>{title || name}</a>
          <span className={styles['quiet']}>{dataset}</span>
        </span>
      ),
    },
    {
      id: 'state',
      title: 'State',
      sortBy: ({ failures }) => -failures,
      cell: ({ failures }) =>
        failures > 0 ? <Badge kind="error">failed {failures}×</Badge> : <Badge kind="ok">fine</Badge>,
    },
    {
      id: 'every',
      title: 'Every',
      cell: ({ schedule }) =>
        schedule === null ? 'by hand' : `${schedule.every}${schedule.zone ? `, ${schedule.zone}` : ''}`,
    },
    {
      id: 'next',
      title: 'Next',
      sortBy: ({ nextAt }) => nextAt,
      cell: ({ nextAt }) => (nextAt === null ? '' : <Time value={nextAt} ago />),
    },
    {
      id: 'wrong',
      title: 'What is wrong',
      cell: ({ lastError }) => <span className={styles['wrong']}>{lastError ?? ''}</span>,
    },
    {
      id: 'acts',
      title: 'Acts',
      align: 'right',
      cell: ({ name }) => (
        <Button small busy={run.isPending && run.variables === name} onClick={() => run.mutate(name)}>
          Run {name} now
        </Button>
      ),
    },
  ]
  return (
    <Table
      caption="Reports"
      columns={columns}
      rows={reports}
      keyOf={({ name, tenant }) => `${tenant} ${name}`}
      empty={
        <Empty
          title="No report yet"
          command={
            "curl -X PUT -H 'content-type: application/json' " +
            '-d \'{"dataset":"…","query":{"from":"-7 days","bucket":"1 day","select":{"n":{"fn":"count"}}},"schedule":{"every":"1 day"}}\' ' +
            `${location.origin}/api/v1/reports/daily`
          }
        >
          A report is a query that is saved, asked by the worker when its time has come, and kept with its
          answers.
        </Empty>
      }
    />
  )
}
