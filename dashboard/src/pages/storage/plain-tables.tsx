import type { ReactNode } from 'react'
import type { StoredDataset } from 'tidemark/client'
import { Card, Quantity, Table } from '../../ui/index.ts'

/** Tables that are not cut by time: they lie in PostgreSQL, whole. Nothing where there is none. */
export function PlainTables({ datasets }: { readonly datasets: readonly StoredDataset[] }): ReactNode {
  const tables = datasets.filter(({ kind }) => kind === 'table')
  if (tables.length === 0) return null
  return (
    <Card title="Plain tables">
      <Table
        caption="Plain tables"
        rows={tables}
        keyOf={({ name }) => name}
        columns={[
          { id: 'name', title: 'Table', cell: ({ name }) => name, sortBy: ({ name }) => name },
          {
            id: 'rows',
            title: 'Rows, estimated',
            align: 'right',
            cell: ({ rows }) => <Quantity value={rows} unit="rows" />,
            sortBy: ({ rows }) => rows,
          },
          {
            id: 'bytes',
            title: 'Bytes',
            align: 'right',
            cell: ({ bytes }) => <Quantity value={bytes.rows} unit="bytes" />,
            sortBy: ({ bytes }) => bytes.rows,
          },
          {
            id: 'indexes',
            title: 'Indexes',
            align: 'right',
            cell: ({ bytes }) => <Quantity value={bytes.indexes} unit="bytes" />,
            sortBy: ({ bytes }) => bytes.indexes,
          },
        ]}
      />
    </Card>
  )
}
